use super::*;
use std::collections::HashMap;
use std::sync::Mutex;
use std::thread;

/// A shared store that a test can look into and write to.
#[derive(Default)]
struct Memory(Mutex<HashMap<Id, Value>>);

impl Shared for Memory {
    fn retrieve(&self, id: &Id) -> Option<Value> {
        self.0.lock().unwrap().get(id).copied()
    }

    fn store(&self, id: &Id, value: Value, _: SystemTime) {
        self.0.lock().unwrap().insert(*id, value);
    }
}

const LIFETIME: Duration = Duration::from_secs(300);

fn key() -> Key {
    Key::new(&[7; 32])
}

fn alice(cache: &Verified) -> Credentials<'_> {
    let claim = Claim::User { id: "1", encoded: "pbkdf2_sha256$1$s$x" };
    cache.credentials("site", "md5", "alice", claim, b"secret", LIFETIME)
}

#[test]
fn what_was_verified_is_verified_and_nothing_else() {
    let cache = Verified::new(&key(), None);
    assert!(!alice(&cache).are_verified());
    alice(&cache).verify();
    assert!(alice(&cache).are_verified() && !alice(&cache).are_refused());
    let user = |id, encoded| Claim::User { id, encoded };
    let encoded = "pbkdf2_sha256$1$s$x";
    for (site, algorithms, username, claim, password, lifetime) in [
        ("other", "md5", "alice", user("1", encoded), "secret", LIFETIME),
        ("site", "md5", "alice", user("2", encoded), "secret", LIFETIME),
        ("site", "md5", "alice", user("1", "pbkdf2_sha256$1$s$y"), "secret", LIFETIME),
        ("site", "md5", "alice", user("1", encoded), "Secret", LIFETIME),
        ("site", "md5", "alice", user("1", encoded), "", LIFETIME),
        ("site", "md5", "alice", user("1", encoded), "secret", LIFETIME * 2),
        // The same text, cut at other places.
        ("site", "md5", "alice", user("", "1pbkdf2_sha256$1$s$x"), "secret", LIFETIME),
        ("site", "md5", "alice", user("1", "pbkdf2_sha256$1$s$xsecret"), "", LIFETIME),
        ("site", "md5", "alice", Claim::Nobody, "secret", LIFETIME),
        ("site", "md5 scrypt", "alice", user("1", encoded), "secret", LIFETIME),
        ("site", "md5", "ALICE", user("1", encoded), "secret", LIFETIME),
        ("sitemd", "5", "alice", user("1", encoded), "secret", LIFETIME),
    ] {
        let credentials =
            cache.credentials(site, algorithms, username, claim, password.as_bytes(), lifetime);
        assert!(!credentials.are_verified(), "{site} {claim:?} {password}");
    }
    // Another start has another key.
    assert!(!alice(&Verified::new(&Key::random().unwrap(), None)).are_verified());
}

#[test]
fn a_refusal_is_remembered_apart_and_for_a_moment() {
    let cache = Verified::new(&key(), None);
    alice(&cache).refuse();
    assert!(alice(&cache).are_refused() && !alice(&cache).are_verified());
    let since = Instant::now().checked_sub(REFUSED_FOR).unwrap();
    cache.refused.insert(alice(&cache).id, since);
    assert!(!alice(&cache).are_refused());
    alice(&cache).verify();
    for n in 0..REFUSED * 4 {
        let username = &n.to_string();
        cache.credentials("site", "md5", username, Claim::Nobody, b"x", LIFETIME).refuse();
    }
    assert!(alice(&cache).are_verified());
    assert!(cache.refused.len() <= REFUSED);
}

#[test]
fn entries_expire() {
    let cache = Verified::new(&key(), None);
    let credentials = alice(&cache);
    cache.verified.insert(credentials.id, now());
    assert!(!credentials.are_verified());
    // A clock that was an hour ahead when they were verified.
    cache.verified.insert(credentials.id, now() + 3600 + 300);
    assert!(!credentials.are_verified());
    let second = cache.credentials(
        "site",
        "md5",
        "alice",
        Claim::User { id: "1", encoded: "x" },
        b"secret",
        Duration::from_secs(1),
    );
    second.verify();
    thread::sleep(Duration::from_millis(2100));
    assert!(!second.are_verified());
}

#[test]
fn a_login_counts_wherever_the_store_and_the_key_are_the_same() {
    let memory = Arc::new(Memory::default());
    let shared = || Some(Arc::clone(&memory) as Arc<dyn Shared>);
    let (here, there) = (Verified::new(&key(), shared()), Verified::new(&key(), shared()));
    alice(&here).verify();
    assert!(alice(&there).are_verified());
    // Refusals stay in the child.
    let other = Claim::Nobody;
    here.credentials("site", "md5", "zoe", other, b"x", LIFETIME).refuse();
    assert!(!there.credentials("site", "md5", "zoe", other, b"x", LIFETIME).are_refused());
    let stranger = Verified::new(&Key::new(&[8; 32]), shared());
    assert!(!alice(&stranger).are_verified());
}

/// Whoever writes to the store cannot make an entry, nor prolong one, nor move it.
#[test]
fn what_others_write_into_the_store_is_a_miss() {
    let memory = Arc::new(Memory::default());
    let cache = || Verified::new(&key(), Some(Arc::clone(&memory) as Arc<dyn Shared>));
    let (first, second) = (cache(), cache());
    let (target, other) = (alice(&first), Claim::User { id: "2", encoded: "x" });
    let credentials = second.credentials("site", "md5", "zoe", other, b"mallory's own", LIFETIME);
    credentials.verify();
    let genuine = memory.retrieve(&credentials.id).unwrap();
    let mut prolonged = genuine;
    prolonged[7] ^= 1;
    for forged in [genuine, prolonged, [0; 40], [0xff; 40]] {
        memory.0.lock().unwrap().insert(target.id, forged);
        assert!(!target.are_verified());
    }
    memory.0.lock().unwrap().insert(credentials.id, prolonged);
    assert!(
        !cache()
            .credentials("site", "md5", "zoe", other, b"mallory's own", LIFETIME)
            .are_verified()
    );
    memory.0.lock().unwrap().insert(credentials.id, genuine);
    assert!(
        cache().credentials("site", "md5", "zoe", other, b"mallory's own", LIFETIME).are_verified()
    );
}

#[test]
fn a_secret_of_several_machines_must_not_be_guessed() {
    assert!(Key::from_secret("short").is_err());
    let secret = "0123456789abcdef0123456789abcdef";
    let (here, there) = (Key::from_secret(secret).unwrap(), Key::from_secret(secret).unwrap());
    assert_eq!(here.bytes(), there.bytes());
    let other = Key::from_secret("0123456789abcdef0123456789abcdeg").unwrap();
    assert_ne!(here.bytes(), other.bytes());
}

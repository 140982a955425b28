//! The vectors that real Djangos made, what a row can hold, and what each answer costs.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use serde_json::Value;

use super::{hasher::effort::spent, *};

const SHA256: &str =
    "pbkdf2_sha256$1000$abcdefghijklmnopqrstuv$1nE4fvOmiD+ZePp39y6TYTXfkn5HEwJDyz8e6UkQE1w=";
const SHA1: &str = "pbkdf2_sha1$1000$abcdefghijklmnopqrstuv$+5oTfD/enXsijOBknW6M6cP8zps=";
const ARGON2: &str = "argon2$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$ksyymBktxhBPob64O6We0Q";
const BCRYPT: &str = "bcrypt$$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const SCRYPT: &str = "scrypt$1024$abcdefghijklmnopqrstuv$8$1$9NzwL6u6Kq9NV+cZlHBwuk6f2ma4IP/TmZ9D5q/rPjRdG5kGBx/l0U/7qLnQZMcQFR/1RrZlSD82u5GtYJDGfQ==";
const MD5: &str = "md5$seasalt$51bd9678978c1b8d854cd8d771c933e8";

/// Every hasher, `preferred` first.
fn all(preferred: &str) -> Hashers {
    let first = preferred.split(':').next().unwrap();
    let others = HASHERS.iter().map(|hasher| hasher.algorithm()).filter(|name| *name != first);
    let words: Vec<&str> = std::iter::once(preferred).chain(others).collect();
    Hashers::parse(&words).unwrap()
}

fn check(hashers: &Hashers, password: &str, encoded: &str) -> Verdict {
    hashers
        .check_password(password.as_bytes(), &hashers.read(encoded), &Floor::default(), &Alone)
        .unwrap()
}

fn refusal(hashers: &Hashers, encoded: &str) -> String {
    match check(hashers, "secret", encoded) {
        Verdict::Refused(refusal) => refusal.to_string(),
        verdict => panic!("{encoded:?} is {verdict:?}"),
    }
}

/// What a check of "wrong" costs, by algorithm.
fn cost(hashers: &Hashers, encoded: &str, floor: &Floor) -> BTreeMap<&'static str, u64> {
    spent();
    assert_ne!(
        hashers.check_password(b"wrong", &hashers.read(encoded), floor, &Alone).unwrap(),
        Verdict::Correct
    );
    spent()
}

#[test]
fn agrees_with_the_vectors_of_real_djangos() {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../tests/django/vectors.json")).unwrap();
    assert!(vectors.len() > 40);
    let hashers = all("pbkdf2_sha256:1");
    for vector in &vectors {
        let text = |key: &str| vector[key].as_str().unwrap();
        let verdict = check(&hashers, text("password"), text("encoded"));
        let expected = vector["expected"].as_bool().unwrap();
        assert_eq!(verdict == Verdict::Correct, expected, "{vector}: {verdict:?}");
    }
    for hasher in HASHERS {
        let algorithm = hasher.algorithm();
        let accepted =
            |vector: &Value| vector["algorithm"] == algorithm && vector["expected"] == true;
        assert!(vectors.iter().any(accepted), "no vector for {algorithm}");
    }
}

#[test]
fn accepts_listed_algorithms_only() {
    let hashers = Hashers::default();
    for encoded in [SHA256, SHA1, ARGON2, SCRYPT] {
        assert_eq!(check(&hashers, "secret", encoded), Verdict::Correct, "{encoded}");
    }
    let cheap = Hashers::parse(&["pbkdf2_sha1:1"]).unwrap();
    let not_listed = |name| format!("algorithm {name} is not listed in AuthDjangoPasswordHashers");
    assert_eq!(refusal(&cheap, BCRYPT), not_listed("bcrypt"));
    assert_eq!(refusal(&cheap, MD5), not_listed("md5"));
    assert_eq!(refusal(&cheap, SHA256), not_listed("pbkdf2_sha256"));
    assert_eq!(refusal(&cheap, &"0".repeat(32)), not_listed("unsalted_md5"));
}

#[test]
fn identifies_as_django_does() {
    for (encoded, algorithm) in [
        (SHA256, "pbkdf2_sha256"),
        (ARGON2, "argon2"),
        (BCRYPT, "bcrypt"),
        (MD5, "md5"),
        ("md5$$51bd9678978c1b8d854cd8d771c933e8", "unsalted_md5"),
        ("51bd9678978c1b8d854cd8d771c933e8", "unsalted_md5"),
        ("md5$$short", "md5"),
        ("sha1$$6d138ca3ae545631b3abd71a4f076ce759c5700b", "unsalted_sha1"),
        ("sha1$$short", "sha1"),
        ("md5", "md5"),
        ("", ""),
        ("$", ""),
    ] {
        assert_eq!(identify_hasher(encoded), algorithm, "{encoded}");
    }
    // Characters count, not bytes.
    assert_eq!(identify_hasher(&"é".repeat(32)), "unsalted_md5");
    assert_ne!(identify_hasher(&"é".repeat(16)), "unsalted_md5");
}

#[test]
fn unusable_and_empty_are_ordinary_states() {
    let hashers = all("pbkdf2_sha256:1");
    for encoded in ["", "!", "!abc", &format!("!{SHA256}"), &"!".repeat(5000)] {
        assert_eq!(check(&hashers, "secret", encoded), Verdict::Wrong);
        assert_eq!(check(&hashers, "", encoded), Verdict::Wrong);
        assert_eq!(check(&hashers, encoded, encoded), Verdict::Wrong);
    }
}

#[test]
fn refusals_say_why() {
    let hashers = all("pbkdf2_sha256:1");
    let sha256 = |iterations| SHA256.replace("$1000$", &format!("${iterations}$"));
    for (encoded, message) in [
        (
            sha256("2000000000"),
            "pbkdf2_sha256: 2000000000 iterations are more than the 10000000 that are accepted",
        ),
        (sha256("0"), "pbkdf2_sha256: 0 iterations are fewer than the 1 that are accepted"),
        (sha256("x"), "pbkdf2_sha256: malformed"),
        (
            BCRYPT.replace("$04$", "$31$"),
            "bcrypt: 31 rounds are more than the 16 that are accepted",
        ),
        (
            ARGON2.replace("t=1", "t=4294967295"),
            "argon2: 274877906880 KiB passes are more than the 4194304 that are accepted",
        ),
        (
            ARGON2.replace("m=64", "m=7"),
            "argon2: 7 KiB of memory are fewer than the 8 that are accepted",
        ),
        (ARGON2.replace("argon2$", "argon2"), "unknown algorithm"),
        (
            SCRYPT.replace("$1024$", "$1048576$"),
            "scrypt: 1073741824 bytes of memory are more than the 67108864 that are accepted",
        ),
        ("crypt$$ab1Hv2Lg7ltQo".to_owned(), "unknown algorithm crypt"),
        ("hunter2".to_owned(), "unknown algorithm"),
        ("hunter2$secret".to_owned(), "unknown algorithm"),
        ("x".repeat(1025), "1025 bytes are more than the 1024 that are accepted"),
    ] {
        assert_eq!(refusal(&hashers, &encoded), message, "{encoded}");
    }
}

/// Every one of these answers at once, whatever it asks for, and lets nobody in.
#[test]
fn malformed_rows_never_match() {
    let hashers = all("pbkdf2_sha256:1");
    let huge = "99999999999999999999999999";
    let numbers = [
        "",
        " ",
        "-1",
        "0",
        "00",
        "01000",
        "+1000",
        " 1000",
        "1000 ",
        "1_000",
        "1e3",
        "1000.0",
        "0x10",
        "１０００",
        "١٠٠٠",
        "NaN",
        "2147483648",
        "4294967295",
        "4294967296",
        "4294968296",
        "18446744073709551615",
        "18446744073709551616",
        huge,
        "\0",
        "1000\0",
        "\n1000",
    ];
    let mut rows: Vec<String> = Vec::new();
    for number in numbers {
        rows.push(SHA256.replace("$1000$", &format!("${number}$")));
        rows.push(SHA1.replace("$1000$", &format!("${number}$")));
        rows.push(BCRYPT.replace("$04$", &format!("${number}$")));
        rows.push(SCRYPT.replace("$1024$", &format!("${number}$")));
        rows.push(SCRYPT.replace("$8$", &format!("${number}$")));
        rows.push(SCRYPT.replace("$8$1$", &format!("$8${number}$")));
        for name in ["m=64", "t=1", "p=1", "v=19"] {
            let (key, _) = name.split_once('=').unwrap();
            rows.push(ARGON2.replace(name, &format!("{key}={number}")));
        }
    }
    for encoded in [SHA256, SHA1, ARGON2, BCRYPT, SCRYPT, MD5] {
        let fields: Vec<&str> = encoded.split('$').collect();
        for (place, _) in fields.iter().enumerate() {
            for other in ["", "$", "\0", "é", "!", "A", "AAAA", "====", &"A".repeat(200)] {
                let mut mutated = fields.clone();
                mutated[place] = other;
                if mutated != fields {
                    rows.push(mutated.join("$"));
                }
            }
            let mut swapped = fields.clone();
            swapped.swap(place, (place + 1) % fields.len());
            if swapped != fields {
                rows.push(swapped.join("$"));
            }
            let mut shorter = fields.clone();
            shorter.remove(place);
            rows.push(shorter.join("$"));
            let mut longer = fields.clone();
            longer.insert(place, "x");
            rows.push(longer.join("$"));
        }
        for cut in 0..encoded.len() {
            rows.push(encoded[..cut].to_owned());
        }
        for extra in [" ", "\n", "\0", "=", "$", "A", "é"] {
            rows.push(format!("{encoded}{extra}"));
            rows.push(format!("{extra}{encoded}"));
        }
        rows.push(encoded.trim_end_matches('=').to_owned() + "-");
        rows.push(encoded.to_uppercase());
    }
    // Padding and alphabet that Python would read, but does not write.
    rows.push(SHA256.replace('=', ""));
    rows.push(SHA256.replace('+', "-"));
    rows.push(SHA1.replace('/', "_"));
    rows.push(SHA256.replace("E1w=", "E1x="));
    rows.push(SCRYPT.replace("fQ==", "fR=="));
    rows.push(BCRYPT.replace("IrW", "IrX"));
    // Bits of the salt that bcrypt does not use.
    rows.push(BCRYPT.replace("stuu2r", "stuv2r"));
    assert!(rows.len() > 700);
    for row in &rows {
        assert_ne!(check(&hashers, "secret", row), Verdict::Correct, "{row:?}");
        assert_ne!(check(&hashers, "", row), Verdict::Correct, "{row:?}");
        assert_ne!(check(&hashers, row, row), Verdict::Correct, "{row:?}");
    }
}

#[test]
fn a_refusal_never_holds_a_part_of_the_row() {
    let hashers = all("pbkdf2_sha256:1");
    for encoded in [SHA256, SHA1, ARGON2, BCRYPT, SCRYPT, MD5] {
        for secret in ["correcthorse", "c0rrectbattery$staple"] {
            for row in [
                secret.to_owned(),
                format!("{secret}{encoded}"),
                format!("{encoded}{secret}"),
                format!("{encoded}${secret}"),
                encoded.replace('$', &format!("${secret}$")),
            ] {
                let verdict = check(&hashers, "secret", &row);
                let shown = match &verdict {
                    Verdict::Refused(refusal) => format!("{refusal} {verdict:?}"),
                    verdict => format!("{verdict:?}"),
                };
                assert!(!shown.contains("rrect"), "{shown}");
            }
        }
    }
}

/// Unknown, inactive, unusable, empty, gibberish and wrong cost one and the same.
#[test]
fn whatever_is_not_correct_costs_one_preferred_hash() {
    for (preferred, own, work) in [
        ("pbkdf2_sha256:3000", SHA256, 3000),
        ("pbkdf2_sha1:3000", SHA1, 3000),
        ("argon2:t=2,m=128,p=1", ARGON2, 256),
        ("bcrypt:6", BCRYPT, 64),
        ("bcrypt_sha256:6", "bcrypt_sha256$", 64),
        ("scrypt:n=1024,r=8,p=3", SCRYPT, 3 * 8 * 1024),
        ("md5", MD5, 1),
    ] {
        let algorithm = preferred.split(':').next().unwrap();
        let hashers = all(preferred);
        let floor = Floor::default();
        spent();
        hashers.spend(b"wrong", &floor, &Alone).unwrap();
        let unknown = spent();
        assert_eq!(unknown, BTreeMap::from([(algorithm, work)]), "{preferred}");
        for encoded in [
            own,
            "",
            "!",
            "!unusable",
            "gibberish",
            "crypt$$ab1Hv2Lg7ltQo",
            "pbkdf2_sha256$x$y$z",
            "argon2$",
            "pbkdf2_sha256$2000000000$salt$1nE4fvOmiD+ZePp39y6TYTXfkn5HEwJDyz8e6UkQE1w=",
            &"x".repeat(5000),
        ] {
            assert_eq!(cost(&hashers, encoded, &floor), unknown, "{preferred} {encoded}");
        }
        // A row of another algorithm has its own work beside it.
        for encoded in [SHA256, SHA1, ARGON2, BCRYPT, SCRYPT, MD5] {
            assert_eq!(cost(&hashers, encoded, &floor).get(algorithm), Some(&work), "{encoded}");
        }
        let unlisted = Hashers::parse(&[preferred]).unwrap();
        for encoded in [SHA256, SHA1, ARGON2, BCRYPT, SCRYPT, MD5] {
            assert_eq!(cost(&unlisted, encoded, &floor), unknown, "{preferred} {encoded}");
        }
    }
}

#[test]
fn a_correct_password_costs_its_own_hash() {
    let hashers = Hashers::parse(&["pbkdf2_sha256:3000", "md5"]).unwrap();
    spent();
    assert_eq!(check(&hashers, "secret", SHA256), Verdict::Correct);
    assert_eq!(spent(), BTreeMap::from([("pbkdf2_sha256", 1000)]));
    assert_eq!(check(&hashers, "secret", MD5), Verdict::Correct);
    assert_eq!(spent(), BTreeMap::from([("md5", 1)]));
}

#[test]
fn a_dearer_row_raises_the_cost_of_its_site() {
    let hashers = Hashers::parse(&["pbkdf2_sha256:10", "pbkdf2_sha1"]).unwrap();
    let (floor, other_site) = (Floor::default(), Floor::default());
    let work = |encoded: &str, floor: &Floor| cost(&hashers, encoded, floor)["pbkdf2_sha256"];
    assert_eq!(work("", &floor), 10);
    // Neither a row over the caps nor one of another algorithm counts.
    assert_eq!(work(&SHA256.replace("$1000$", "$10000001$"), &floor), 10);
    assert_eq!(work(SHA1, &floor), 10);
    assert_eq!(work(SHA256, &floor), 1000);
    assert_eq!(work("", &floor), 1000);
    assert_eq!(work(&SHA256.replace("$1000$", "$20$"), &floor), 1000);
    assert_eq!(work("!", &floor), 1000);
    assert_eq!(work("", &other_site), 10);
}

#[test]
fn defaults_are_the_newest_djangos() {
    let hashers = Hashers::default();
    assert_eq!((hashers.preferred.algorithm(), hashers.cost), ("pbkdf2_sha256", [1_500_000, 0, 0]));
    for (name, cost) in [
        ("pbkdf2_sha1", [1_500_000, 0, 0]),
        ("bcrypt_sha256", [12, 0, 0]),
        ("bcrypt", [12, 0, 0]),
        ("argon2", [2, 102_400, 8]),
        ("scrypt", [16_384, 8, 5]),
    ] {
        assert_eq!(Hashers::parse(&[name]).unwrap().cost, cost, "{name}");
        assert_eq!(Hashers::parse(&[name, "md5"]).unwrap().cost, cost, "{name}");
    }
    // A default must be within its own caps.
    for hasher in HASHERS.into_iter().filter(|hasher| hasher.default_cost() != [0; 3]) {
        let [a, b, c] = hasher.default_cost();
        let text = match hasher.algorithm() {
            "argon2" => format!("t={a},m={b},p={c}"),
            "scrypt" => format!("n={a},r={b},p={c}"),
            _ => a.to_string(),
        };
        assert_eq!(hasher.parse_cost(&text), Ok([a, b, c]));
    }
}

#[test]
fn directive_errors_name_the_value_the_reason_and_the_remedy() {
    let error = |words: &[&str]| Hashers::parse(words).unwrap_err();
    let names = "pbkdf2_sha256, pbkdf2_sha1, argon2, bcrypt_sha256, bcrypt, scrypt, md5, sha1, \
                 unsalted_sha1, unsalted_md5";
    assert_eq!(error(&[]), format!("no hasher is listed: write one or more of {names}"));
    assert_eq!(error(&["pbkdf2"]), format!("unknown hasher \"pbkdf2\": the hashers are {names}"));
    assert_eq!(
        error(&["django.contrib.auth.hashers.PBKDF2PasswordHasher"]),
        "\"django.contrib.auth.hashers.PBKDF2PasswordHasher\" is the name of a class: \
         write pbkdf2_sha256"
    );
    assert_eq!(error(&["md5", "sha1", "md5"]), "md5 is listed twice: write it once");
    assert_eq!(
        error(&["argon2", "pbkdf2_sha256:1000"]),
        "\"pbkdf2_sha256:1000\": only the first hasher, the preferred one, has a cost here, \
         because the others are only read: write pbkdf2_sha256"
    );
    assert_eq!(
        error(&["pbkdf2_sha256:20000000"]),
        "\"pbkdf2_sha256:20000000\": 20000000 iterations are more than the 10000000 that are \
         accepted: without a cost, pbkdf2_sha256 is the newest Django's"
    );
    for word in
        ["", ":", ":1", "md5:1", "bcrypt:", "bcrypt:99", "argon2:2", "argon2:x=1", "scrypt:1000"]
    {
        assert!(Hashers::parse(&[word]).is_err(), "{word:?}");
    }
}

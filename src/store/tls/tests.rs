use super::*;
use std::time::Duration;

/// What `openssl req -x509 -days 1 -subj /CN=db -addext subjectAltName=DNS:localhost` made.
const ONE_DAY: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBhTCCASugAwIBAgIUQb+3WxBTG0FxwHGFc1BVNXbTl7swCgYIKoZIzj0EAwIw\n\
DTELMAkGA1UEAwwCZGIwHhcNMjYxMTIxMTA1ODI3WhcNMjYxMTIyMTA1ODI3WjAN\n\
MQswCQYDVQQDDAJkYjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLjIPdgO0A3q\n\
TbNXa+csWzMNRA/GmDIuCbjMsny5mKEPu6jLuu5RQiOouMBzYmuU9DARlq3+jva/\n\
wzN9OdD7edijaTBnMB0GA1UdDgQWBBSdWX/TrnNvY8poE8pBLUBvEvRurzAfBgNV\n\
HSMEGDAWgBSdWX/TrnNvY8poE8pBLUBvEvRurzAPBgNVHRMBAf8EBTADAQH/MBQG\n\
A1UdEQQNMAuCCWxvY2FsaG9zdDAKBggqhkjOPQQDAgNIADBFAiEAj1JT4ApxnyDQ\n\
il14EoW27os/ar1bdUrd+xswnI6nxu8CIB1ZRaQbUm6Kh/QWW5EzNFiSgwfcaFsI\n\
ch7u9nRtYZtx\n\
-----END CERTIFICATE-----\n\
";
const BEGIN: u64 = 1_795_258_707;
const END: u64 = 1_795_345_107;

fn verify(trusted: bool, at: u64) -> Result<(), String> {
    let certificate = CertificateDer::from_pem_slice(ONE_DAY.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let verifier = Verifier {
        verify: Verify::Full,
        roots,
        trusted: if trusted { vec![certificate.clone()] } else { Vec::new() },
        provider: Arc::new(rustls::crypto::ring::default_provider()),
    };
    let name = ServerName::try_from("localhost").unwrap();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
    let verified = verifier.verify_server_cert(&certificate, &[], &name, &[], at);
    verified.map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_trusted_certificate_has_its_time_too() {
    for at in [BEGIN, END - 1, END] {
        assert_eq!(verify(true, at), Ok(()), "{at}");
    }
    let early = Err("invalid peer certificate: NotValidYet".into());
    let late = Err("invalid peer certificate: Expired".into());
    assert_eq!(verify(true, BEGIN - 1), early);
    assert_eq!(verify(true, END + 1), late);
    assert_eq!(verify(true, END + 1_000_000), late);
    // The others' time is webpki's to judge; the text says no more, since it would never be the same.
    assert_eq!(verify(false, BEGIN - 1), early);
    assert_eq!(verify(false, END + 1), late);
    // Only what is trusted by itself may be an authority.
    assert!(verify(false, BEGIN + 1).is_err_and(|error| error.contains("CaUsedAsEndEntity")));
}

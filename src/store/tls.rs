//! `sslmode` and its files: what of a server's certificate is believed.

#![forbid(unsafe_code)]

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

/// What must be right before the server gets a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Verify {
    /// The line is encrypted, with whomever.
    #[default]
    Nothing,
    /// The certificate is signed by an authority that we trust.
    Authority,
    /// And it was issued for the host that was asked for.
    Full,
}

/// The configured side of TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    pub(crate) verify: Verify,
    /// `sslrootcert`; `None` = the authorities of the system, for `Full` alone.
    pub(crate) roots: Option<String>,
    /// `sslcert` and `sslkey`, for a server that wants to know us.
    pub(crate) client: Option<(String, String)>,
    /// `sslnegotiation=direct`.
    pub(crate) direct: bool,
}

/// Whether the line is to be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encrypt {
    Never,
    /// Where the server can.
    Prefer,
    Always,
}

/// `sslmode=` and the files, as a URL has them.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) mode: Option<String>,
    pub(crate) roots: Option<String>,
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
}

impl Words {
    /// What they mean together, as libpq has it: who names an authority wants it asked.
    pub(crate) fn read(self) -> Result<(Encrypt, Tls), String> {
        let (encrypt, verify) = match self.mode.as_deref().unwrap_or("prefer") {
            "disable" => (Encrypt::Never, Verify::Nothing),
            "prefer" => (Encrypt::Prefer, Verify::Nothing),
            "require" => (Encrypt::Always, Verify::Nothing),
            "verify-ca" => (Encrypt::Always, Verify::Authority),
            "verify-full" => (Encrypt::Always, Verify::Full),
            _ => {
                return Err(
                    "sslmode= must be disable, prefer, require, verify-ca or verify-full".into()
                );
            }
        };
        // As libpq: any of the system's authorities vouches for any host, so the name must be right.
        let system = self.roots.as_deref() == Some("system");
        if system && verify != Verify::Full {
            return Err("sslrootcert=system needs sslmode=verify-full".into());
        }
        if verify == Verify::Authority && self.roots.is_none() {
            return Err("sslmode=verify-ca needs sslrootcert=FILE: without the name of the host, \
                        any authority of the system would do; or use verify-full"
                .into());
        }
        let named = self.roots.is_some() && verify == Verify::Nothing;
        let verify = if named && encrypt != Encrypt::Never { Verify::Authority } else { verify };
        let client = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("sslcert= and sslkey= need each other".into()),
        };
        let roots = self.roots.filter(|path| path != "system");
        let tls = Tls { verify, roots, client, direct: false };
        if encrypt != Encrypt::Never {
            tls.exist()?;
        }
        Ok((encrypt, tls))
    }
}

impl Tls {
    /// For `configtest`, which runs as root but may run elsewhere: are the files there, and is the
    /// key kept from others?
    fn exist(&self) -> Result<(), String> {
        let client = self.client.iter().flat_map(|(cert, key)| [cert, key]);
        for path in self.roots.iter().chain(client) {
            match std::fs::metadata(path) {
                Ok(file) if file.is_file() => {}
                Ok(_) => return Err(format!("{path} is not a file")),
                Err(error) => return Err(format!("{path}: {}", reason(&error))),
            }
        }
        if let Some((_, key)) = &self.client {
            let mode = std::fs::metadata(key).map_or(0, |file| file.permissions().mode());
            if mode & 0o007 != 0 {
                return Err(format!("{key} is open to every user of this machine: chmod o= {key}"));
            }
        }
        Ok(())
    }

    /// Reads the files.
    pub(crate) fn load(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut trusted = Vec::new();
        let mut roots = RootCertStore::empty();
        if self.verify != Verify::Nothing {
            trusted = match &self.roots {
                Some(path) => certificates(path)?,
                None => rustls_native_certs::load_native_certs().certs,
            };
            roots.add_parsable_certificates(trusted.iter().cloned());
            if roots.is_empty() {
                let place = self.roots.as_deref().unwrap_or("the system");
                return Err(format!(
                    "{place} has no certificate of an authority: name one by sslrootcert="
                ));
            }
        }
        if self.roots.is_none() {
            trusted.clear();
        }
        let verifier = Verifier { verify: self.verify, roots, trusted, provider: provider.clone() };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.client {
            None => config.with_no_client_auth(),
            Some((cert, key)) => config
                .with_client_auth_cert(certificates(cert)?, private_key(key)?)
                .map_err(|error| format!("{cert} and {key}: {error}"))?,
        };
        if self.direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(config)
    }
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("{path}: {}", reason(&error)))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(format!("{path} has no certificate in PEM form")),
        Err(error) => Err(format!("{path}: {error}")),
    }
}

fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("{path}: {}", reason(&error)))?;
    let pem = Zeroizing::new(pem);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        if pem.windows(9).any(|part| part == b"ENCRYPTED") {
            format!("the key in {path} is encrypted: store it without a passphrase, mode 0600")
        } else {
            format!("{path} has no private key in PEM form")
        }
    })
}

fn reason(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file",
        std::io::ErrorKind::PermissionDenied => "permission denied",
        _ => "cannot be read",
    }
}

/// Is this a day on which the certificate is valid?
fn in_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let certificate = Certificate::from_der(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let validity = certificate.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

/// The same error in words that do not change with the clock: repeated errors are told apart by
/// their text.
fn without_times(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::ExpiredContext { .. }) => {
            Error::InvalidCertificate(CertificateError::Expired)
        }
        Error::InvalidCertificate(CertificateError::NotValidYetContext { .. }) => {
            Error::InvalidCertificate(CertificateError::NotValidYet)
        }
        error => error,
    }
}

#[derive(Debug)]
struct Verifier {
    verify: Verify,
    roots: RootCertStore,
    /// The certificates of `sslrootcert`: a server's own among them is believed as it is.
    trusted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verify == Verify::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(end_entity)?;
        // `openssl req -x509` marks what it makes as an authority, which webpki takes for no server;
        // libpq does, when sslrootcert is that very certificate.
        if self.trusted.iter().any(|certificate| certificate == end_entity) {
            in_time(end_entity, now)?;
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            let roots = &self.roots;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                roots,
                intermediates,
                now,
                algorithms,
            )
            .map_err(without_times)?;
        }
        if self.verify == Verify::Full {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.verify == Verify::Nothing {
            // Anybody may be there; so it need not be a certificate that webpki can read.
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.verify == Verify::Nothing {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;

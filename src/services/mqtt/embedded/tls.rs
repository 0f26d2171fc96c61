//! TLS for the embedded broker.

use std::io;
use std::sync::Arc;

use rumqttc::tokio_rustls::TlsAcceptor;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use crate::config::Certificate;
use crate::services::mqtt::wire;

/// Loads the certificate and key of `mqtt.embedded.tls`.
pub(super) fn acceptor(tls: &Certificate) -> io::Result<TlsAcceptor> {
    let certificates = wire::certificates(&tls.cert)?;
    let in_file = |error| io::Error::other(format!("{}: {error}", tls.key.display()));
    let key = std::fs::read(&tls.key).map_err(|error| in_file(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| in_file(error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let config = builder.with_no_client_auth().with_single_cert(certificates, key).map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

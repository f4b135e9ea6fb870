//! The web client: whom it believes, and what it never does by itself.

use std::{io::Read as _, path::Path, time::Duration};

use reqwest::{Certificate, Client, Url, redirect::Policy};

use super::{error::Why, file, url};

/// For a connection to stand, TLS and all.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest file of certificates. The system's own has 0.3 MB.
const LONGEST: u64 = 4 << 20;
/// How we call ourselves.
const USER_AGENT: &str = concat!("bot-agent/", env!("CARGO_PKG_VERSION"));

/// A client for `asked`. It follows no redirect, unpacks nothing, and goes through the proxy that
/// the environment names, but for this host.
pub(super) fn new(asked: &Url, ca: &[Certificate]) -> Result<Client, Why> {
    // Somebody may have done so before: only that there is one matters.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT);
    builder = if asked.scheme() == "https" {
        builder.tls_certs_merge(ca.iter().cloned())
    } else {
        // A host without certificates can still fetch what needs none.
        builder.tls_certs_only([])
    };
    if url::is_here(asked) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| unreachable(&error))
}

/// The certificates of a file.
pub(super) fn certificates(path: &Path) -> Result<Vec<Certificate>, Why> {
    let wrong = |what| Why::Ca {
        path: path.display().to_string(),
        what,
    };
    let mut pem = Vec::new();
    let read = file::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut pem));
    read.map_err(|error| wrong(error.to_string()))?;
    let certificates =
        Certificate::from_pem_bundle(&pem).map_err(|error| wrong(innermost(&error)))?;
    if certificates.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(certificates)
}

/// Why there is no connection.
pub(super) fn unreachable(error: &reqwest::Error) -> Why {
    if error.is_timeout() {
        return Why::Unreachable(format!("no connection within {} s", CONNECT.as_secs()));
    }
    Why::Unreachable(innermost(error))
}

/// What is wrong, without the layers that pass it on and without the URL, of which they all tell.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    let first: Option<&dyn std::error::Error> = std::error::Error::source(error);
    let last = std::iter::successors(first, |error| error.source()).last();
    last.map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

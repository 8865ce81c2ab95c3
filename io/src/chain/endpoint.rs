//! The endpoints behind the provider: one answers, the others wait their turn.
//!
//! Every request has an end: a connection in [`CONNECT`], an answer in [`ANSWER`], a body of at most
//! [`BODY_BYTES_MAX`]. A redirect is not followed: whoever the configuration names is asked, nobody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use alloy_json_rpc::{RequestPacket, ResponsePacket};
use alloy_provider::{
    RootProvider,
    transport::{TransportError, TransportErrorKind, TransportFut},
};
use alloy_rpc_client::RpcClient;
use reqwest::{Client, Url, header::CONTENT_TYPE, redirect};
use tower_service::Service;

use super::ChainError;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole request may take.
const ANSWER: Duration = Duration::from_secs(20);
/// The largest answer that is read: far above a page of logs.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How much of an endpoint's own words an error repeats.
const WORDS_MAX: usize = 200;

/// A provider over these endpoints: the first that answers is asked until it fails.
pub(super) fn provider(urls: &[String]) -> Result<RootProvider, ChainError> {
    patient(urls, ANSWER)
}

fn patient(urls: &[String], answer: Duration) -> Result<RootProvider, ChainError> {
    let parse = |url: &String| match url.parse::<Url>() {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.has_host() => Ok(parsed),
        _ => Err(ChainError::Url(url.clone())),
    };
    let urls = urls.iter().map(parse).collect::<Result<Arc<[Url]>, _>>()?;
    if urls.is_empty() {
        return Err(ChainError::Url(String::new()));
    }
    // The HTTP client takes the process's TLS and has none of its own beside iroh's. An error says that
    // one is installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(answer)
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|why| ChainError::Endpoint(why.to_string()))?;
    let endpoints = Endpoints { client, urls, current: Arc::new(AtomicUsize::new(0)) };
    Ok(RootProvider::new(RpcClient::new(endpoints, false)))
}

#[derive(Clone, Debug)]
struct Endpoints {
    client: Client,
    urls: Arc<[Url]>,
    /// Which one answered last.
    current: Arc<AtomicUsize>,
}

impl Endpoints {
    async fn ask(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let first = self.current.load(Ordering::Relaxed);
        let body = serde_json::to_vec(&request).map_err(TransportError::ser_err)?;
        let mut why = None;
        for step in 0..self.urls.len() {
            let index = (first + step) % self.urls.len();
            match self.ask_one(&self.urls[index], body.clone()).await {
                Ok(answer) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => {
                    tracing::warn!(endpoint = %shown(&self.urls[index]), %error, "an RPC endpoint failed");
                    why = Some(error);
                }
            }
        }
        Err(why.unwrap_or_else(|| TransportErrorKind::custom_str("no endpoint is configured")))
    }

    async fn ask_one(&self, url: &Url, body: Vec<u8>) -> Result<ResponsePacket, TransportError> {
        let failed = |error: reqwest::Error| {
            TransportErrorKind::custom_str(&format!("{}: {}", shown(url), plain(error)))
        };
        let request = self.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(body);
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + piece.len() > BODY_BYTES_MAX {
                let why = format!("{}: the answer is above {} MiB", shown(url), BODY_BYTES_MAX >> 20);
                return Err(TransportErrorKind::custom_str(&why));
            }
            bytes.extend_from_slice(&piece);
        }
        match serde_json::from_slice(&bytes) {
            Ok(packet) if status.is_success() || is_refusal(&packet) => Ok(packet),
            _ if !status.is_success() => {
                Err(TransportErrorKind::custom_str(&format!("{} answered with HTTP {status}", shown(url))))
            }
            _ => {
                let words: String = String::from_utf8_lossy(&bytes).chars().take(WORDS_MAX).collect();
                let why = format!("{} answered with what is no JSON-RPC: {words:?}", shown(url));
                Err(TransportErrorKind::custom_str(&why))
            }
        }
    }
}

/// An answer that carries a JSON-RPC error is one, whatever its HTTP status.
fn is_refusal(packet: &ResponsePacket) -> bool {
    packet.as_error().is_some()
}

/// An endpoint as logs and errors may show it: what comes after the host may be a secret.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default())
}

/// What went wrong, without the URL that the error would repeat.
fn plain(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let error = error.without_url();
    let mut deepest: &dyn std::error::Error = &error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

impl Service<RequestPacket> for Endpoints {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: RequestPacket) -> Self::Future {
        Box::pin(self.clone().ask(request))
    }
}

#[cfg(test)]
mod tests {
    use alloy_provider::Provider;

    use super::*;

    #[tokio::test]
    async fn an_endpoint_that_never_answers_does_not_stall_a_poll() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/secret-path", listener.local_addr().expect("bound"));
        let silent = patient(&[url], Duration::from_millis(200)).expect("a URL");
        let asked = tokio::time::timeout(Duration::from_secs(10), silent.get_block_number());
        let error = asked.await.expect("it ends").expect_err("nobody answers").to_string();
        assert!(error.contains("no answer in time"), "{error}");
        assert!(!error.contains("secret-path"), "what follows the host may be a key: {error}");
    }
}

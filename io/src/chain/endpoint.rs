//! The endpoints behind the provider: one answers, the others wait their turn.
//!
//! Every request has an end: a connection in [`CONNECT`], an answer in [`ANSWER`], a body of at most
//! [`BODY_BYTES_MAX`]. Whoever is silent for [`SILENCE`] is still listened to, but the next one is asked as well, so that one
//! that hangs stalls nobody. A signed transaction goes to all of them at once. A redirect is not followed: whoever the configuration names is asked, nobody else.

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
use futures::{StreamExt, stream::FuturesUnordered};
use reqwest::{Client, Url, header::CONTENT_TYPE, redirect};
use tower_service::Service;

use super::ChainError;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole request may take.
const ANSWER: Duration = Duration::from_secs(20);
/// After how much silence the next endpoint is asked too. A request may reach two endpoints then, which does no harm: it
/// reads, or it carries a signed transaction.
const SILENCE: Duration = Duration::from_secs(2);
/// The largest answer that is read: far above a page of logs.
const BODY_BYTES_MAX: usize = 64 << 20;
/// What every endpoint is handed.
const SENDS: &str = "eth_sendRawTransaction";
/// How much of an endpoint's own words an error repeats.
const WORDS_MAX: usize = 200;

/// A provider over these endpoints: the first that answers is asked until it fails.
pub(super) fn provider(urls: &[String]) -> Result<RootProvider, ChainError> {
    patient(urls, ANSWER, SILENCE)
}

fn patient(urls: &[String], answer: Duration, silence: Duration) -> Result<RootProvider, ChainError> {
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
    let endpoints = Endpoints { client, urls, current: Arc::new(AtomicUsize::new(0)), silence };
    Ok(RootProvider::new(RpcClient::new(endpoints, false)))
}

#[derive(Clone, Debug)]
struct Endpoints {
    client: Client,
    urls: Arc<[Url]>,
    /// Which one answered last.
    current: Arc<AtomicUsize>,
    silence: Duration,
}

impl Endpoints {
    async fn ask(self, request: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let first = self.current.load(Ordering::Relaxed);
        let body = serde_json::to_vec(&request).map_err(TransportError::ser_err)?;
        let mut waiting = (0..self.urls.len()).map(|step| (first + step) % self.urls.len());
        let (mut asked, mut why, mut refusal) = (FuturesUnordered::new(), None, None);
        if self.urls.len() > 1 && request.as_single().is_some_and(|request| request.method() == SENDS) {
            return self.send_to_all(body).await;
        }
        let ask = |index: usize| {
            let (this, body) = (&self, body.clone());
            async move { (index, this.ask_one(&this.urls[index], body).await) }
        };
        loop {
            if asked.is_empty() {
                match waiting.next() {
                    Some(index) => asked.push(ask(index)),
                    None => break,
                }
            }
            let answer = match tokio::time::timeout(self.silence, asked.next()).await {
                Ok(answer) => answer,
                Err(_) => match waiting.next() {
                    Some(index) => {
                        asked.push(ask(index));
                        continue;
                    }
                    None if refusal.is_some() => break,
                    // With nobody left to ask, there is only waiting.
                    None => asked.next().await,
                },
            };
            match answer {
                // Perhaps it is the endpoint's own trouble: it counts if nobody says better.
                Some((_, Ok(answer))) if is_refusal(&answer) => {
                    refusal.get_or_insert(answer);
                }
                Some((index, Ok(answer))) => {
                    self.current.store(index, Ordering::Relaxed);
                    return Ok(answer);
                }
                Some((index, Err(error))) => {
                    tracing::warn!(endpoint = %shown(&self.urls[index]), %error, "an RPC endpoint failed");
                    why = Some(error);
                }
                None => {}
            }
        }
        refusal.ok_or_else(|| why.unwrap_or_else(nobody))
    }

    /// Each of them is handed what was signed: one that takes it and forgets it keeps nothing back (L4). Whoever is second may
    /// say that it is known already, so a refusal counts only if nobody takes it. What is on its way stays so.
    async fn send_to_all(self, body: Vec<u8>) -> Result<ResponsePacket, TransportError> {
        let send = |index: usize| {
            let (this, body) = (self.clone(), body.clone());
            tokio::spawn(async move { this.ask_one(&this.urls[index], body).await })
        };
        let mut sent: FuturesUnordered<_> = (0..self.urls.len()).map(send).collect();
        let (mut why, mut refusal) = (None, None);
        while let Some(answer) = sent.next().await {
            match answer {
                Ok(Ok(answer)) if is_refusal(&answer) => _ = refusal.get_or_insert(answer),
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => why = Some(error),
                // A task that is cut off says nothing.
                Err(_) => {}
            }
        }
        refusal.ok_or_else(|| why.unwrap_or_else(nobody))
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

fn nobody() -> TransportError {
    TransportErrorKind::custom_str("no endpoint is configured")
}

/// An answer that carries a JSON-RPC error is one, whatever its HTTP status.
fn is_refusal(packet: &ResponsePacket) -> bool {
    packet.as_error().is_some()
}

/// An endpoint as logs and errors may show it: what comes after the host may be a secret.
pub(super) fn shown(url: &Url) -> String {
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
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    const SOON: Duration = Duration::from_millis(200);

    /// An endpoint that does this with whoever connects, and how often somebody has.
    async fn endpoint<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> (String, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}/secret-path", listener.local_addr().expect("bound"));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let _ = stream.read(&mut [0; 4_096]).await;
                tokio::spawn(serve(stream));
            }
        });
        (url, asked)
    }

    async fn silent(stream: TcpStream) {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        drop(stream);
    }

    /// Says that the newest block is number 7.
    async fn good(stream: TcpStream) {
        say(stream, r#"{"jsonrpc":"2.0","id":0,"result":"0x7"}"#).await;
    }

    async fn refusing(stream: TcpStream) {
        say(stream, r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"too many"}}"#).await;
    }

    async fn say(mut stream: TcpStream, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).await;
    }

    /// An answer without an end.
    async fn endless(mut stream: TcpStream) {
        let piece = vec![b' '; 1 << 20];
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while sent.is_ok() {
            sent = stream.write_all(&piece).await;
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_never_answers_does_not_stall_a_poll() {
        let (url, _) = endpoint(silent).await;
        let alone = patient(&[url], SOON, SOON).expect("a URL");
        let asked = tokio::time::timeout(Duration::from_secs(10), alone.get_block_number());
        let error = asked.await.expect("it ends").expect_err("nobody answers").to_string();
        assert!(error.contains("no answer in time"), "{error}");
        assert!(!error.contains("secret-path"), "what follows the host may be a key: {error}");
    }

    #[tokio::test]
    async fn x2_whoever_is_silent_is_passed_over_and_not_asked_first_again() {
        let ((hangs, first), (answers, second)) = (endpoint(silent).await, endpoint(good).await);
        let both = patient(&[hangs, answers], Duration::from_secs(3_600), SOON).expect("URLs");
        for asked in 1..4 {
            let number = tokio::time::timeout(Duration::from_secs(10), both.get_block_number());
            // The answer's id is not the question's, so the provider may refuse it: what counts is who was asked.
            let _ = number.await.expect("nobody waits for the silent one");
            assert_eq!((first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)), (1, asked));
        }
    }

    #[tokio::test]
    async fn l4_a_refusal_counts_if_nobody_says_better() {
        let (refuses, answers, hangs) =
            (endpoint(refusing).await.0, endpoint(good).await.0, endpoint(silent).await.0);
        let ask = |urls: Vec<String>| async move {
            patient(&urls, Duration::from_secs(3_600), SOON).expect("URLs").get_block_number().await
        };
        assert_eq!(ask(vec![refuses.clone(), answers]).await.expect("the other one answers"), 7);
        let error = ask(vec![refuses.clone(), hangs, refuses]).await.expect_err("nobody answers").to_string();
        assert!(error.contains("too many"), "{error}");
    }

    #[tokio::test]
    async fn o11_an_answer_without_an_end_is_cut_off() {
        let (url, _) = endpoint(endless).await;
        let alone = patient(&[url], Duration::from_secs(60), SOON).expect("a URL");
        let error = alone.get_block_number().await.expect_err("it never ends").to_string();
        assert!(error.contains("above 64 MiB"), "{error}");
    }
}

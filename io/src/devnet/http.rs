//! JSON-RPC over HTTP and WebSocket: bodies in, bodies out, nothing of unbounded size.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore};

use super::{
    chain::Chain,
    rpc::{self, RpcError},
    ws,
};

/// The largest request.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;
/// Calls in one batch.
const BATCH_MAX: usize = 100;
/// How long a request's head may take.
const HEADER: Duration = Duration::from_secs(30);
/// Connections at once; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 256;

/// Serves until its task is aborted; connections end with it.
pub(super) async fn serve(listener: TcpListener, chain: Arc<Mutex<Chain>>) {
    let mut connections = tokio::task::JoinSet::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // Out of file descriptors, or the peer is gone already: neither ends the server.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let chain = Arc::clone(&chain);
        connections.spawn(async move {
            // JSON-RPC is POSTed, so a GET wants a WebSocket.
            let mut first = [0; 4];
            match tokio::time::timeout(HEADER, stream.peek(&mut first)).await {
                Ok(Ok(1..)) if first.starts_with(b"GET") => return ws::serve(stream, &chain).await,
                Ok(Ok(1..)) => {}
                _ => return,
            }
            let service = service_fn(|request| answer(request, &chain));
            // A connection that breaks is the peer's business.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    chain: &Mutex<Chain>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // A web page can post plain text to loopback without asking, but not JSON.
    let is_json = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if request.method() != Method::POST || !is_json {
        return Ok(refused(StatusCode::METHOD_NOT_ALLOWED, "POST application/json here"));
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return Ok(refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is above 1 MiB or did not arrive whole"));
    };
    let body = body.to_bytes();
    let answer = respond(&body, chain).to_string();
    let mut serving = super::lock(chain);
    serving.traffic.asked_bytes += body.len() as u64;
    serving.traffic.answered_bytes += answer.len() as u64;
    drop(serving);
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

/// What a body gets.
pub(super) fn respond(body: &[u8], chain: &Mutex<Chain>) -> Value {
    match serde_json::from_slice(body) {
        Ok(Value::Array(calls)) if calls.is_empty() || calls.len() > BATCH_MAX => {
            failure(Value::Null, &RpcError::invalid("a batch holds 1 to 100 calls"))
        }
        Ok(Value::Array(calls)) => {
            let mut chain = super::lock(chain);
            calls.into_iter().map(|call| one(call, &mut chain)).collect()
        }
        Ok(call) => one(call, &mut super::lock(chain)),
        Err(_) => failure(Value::Null, &RpcError { code: -32_700, message: "not JSON".into(), data: None }),
    }
}

fn one(mut call: Value, chain: &mut Chain) -> Value {
    let id = call.get_mut("id").map_or(Value::Null, Value::take);
    let params = call.get_mut("params").map_or(Value::Null, Value::take);
    let Some(method) = call.get("method").and_then(Value::as_str) else {
        return failure(id, &RpcError::invalid("a call names its method"));
    };
    let done = rpc::dispatch(chain, method, params);
    if done.is_ok() {
        *chain.traffic.calls.entry(method.to_owned()).or_default() += 1;
    }
    match done {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(id, &error),
    }
}

fn failure(id: Value, error: &RpcError) -> Value {
    let mut inner = json!({ "code": error.code, "message": error.message });
    if let Some(data) = &error.data {
        inner["data"] = json!(data);
    }
    json!({ "jsonrpc": "2.0", "id": id, "error": inner })
}

fn refused(status: StatusCode, why: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(why.as_bytes())));
    *response.status_mut() = status;
    response
}

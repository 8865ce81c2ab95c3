//! JSON-RPC over a WebSocket: the methods of HTTP, and subscriptions to new heads and logs.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use alloy_rpc_types_eth::Filter;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_websockets::{Limits, Message, ServerBuilder, WebSocketStream};

use super::{chain::Chain, http, rpc};

/// How often subscribers hear of what is new.
const EVERY: Duration = Duration::from_millis(250);
/// Subscriptions of one connection.
const SUBSCRIPTIONS_MAX: usize = 64;
/// Heads in one turn: after a warp only the newest are told.
const HEADS_MAX: u64 = 64;

enum Subscription {
    Heads,
    Logs(Box<Filter>),
}

#[derive(Default)]
struct Subscriptions {
    next: u64,
    live: BTreeMap<u64, Subscription>,
    /// The newest block that was told of.
    told: u64,
}

/// Serves a connection to its end.
pub(super) async fn serve(stream: TcpStream, chain: &Mutex<Chain>) {
    let limits = Limits::default().max_payload_len(Some(http::BODY_BYTES_MAX));
    let Ok((request, mut socket)) = ServerBuilder::new().limits(limits).accept(stream).await else { return };
    // A web page may open a WebSocket to loopback without asking; its browser says who it is.
    if request.headers().contains_key("origin") {
        return;
    }
    let mut subscriptions =
        Subscriptions { told: super::lock(chain).head().number, ..Subscriptions::default() };
    let mut tick = tokio::time::interval(EVERY);
    loop {
        let answers = tokio::select! {
            message = socket.next() => match message {
                Some(Ok(message)) if message.is_text() || message.is_binary() => {
                    vec![subscriptions.answer(message.as_payload(), chain)]
                }
                Some(Ok(message)) if message.is_close() => return,
                Some(Ok(_)) => Vec::new(),
                Some(Err(_)) | None => return,
            },
            _ = tick.tick() => subscriptions.news(&mut super::lock(chain)),
        };
        if send(&mut socket, answers).await.is_err() {
            return;
        }
    }
}

async fn send(
    socket: &mut WebSocketStream<TcpStream>,
    answers: Vec<Value>,
) -> Result<(), tokio_websockets::Error> {
    for answer in answers {
        socket.send(Message::text(answer.to_string())).await?;
    }
    Ok(())
}

impl Subscriptions {
    fn answer(&mut self, body: &[u8], chain: &Mutex<Chain>) -> Value {
        let call: Value = serde_json::from_slice(body).unwrap_or_default();
        let result = match call["method"].as_str() {
            Some("eth_subscribe") => self.subscribe(&call["params"]),
            Some("eth_unsubscribe") => {
                let id = call["params"][0]
                    .as_str()
                    .and_then(|id| u64::from_str_radix(&id[2.min(id.len())..], 16).ok());
                Ok(Value::Bool(id.is_some_and(|id| self.live.remove(&id).is_some())))
            }
            _ => return http::respond(body, chain),
        };
        match result {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
            Err(why) => {
                json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": -32_602, "message": why } })
            }
        }
    }

    fn subscribe(&mut self, params: &Value) -> Result<Value, &'static str> {
        let subscription = match params[0].as_str() {
            Some("newHeads") => Subscription::Heads,
            Some("logs") => {
                let filter = match &params[1] {
                    Value::Null => Filter::new(),
                    filter => {
                        serde_json::from_value(filter.clone()).map_err(|_| "argument 1 is no filter")?
                    }
                };
                Subscription::Logs(Box::new(filter))
            }
            _ => return Err("the devnet has subscriptions to newHeads and logs"),
        };
        if self.live.len() >= SUBSCRIPTIONS_MAX {
            return Err("a connection has at most 64 subscriptions");
        }
        self.next += 1;
        self.live.insert(self.next, subscription);
        Ok(json!(format!("{:#x}", self.next)))
    }

    /// What subscribers have not heard yet.
    fn news(&mut self, chain: &mut Chain) -> Vec<Value> {
        let head = chain.head().number;
        let from = std::mem::replace(&mut self.told, head) + 1;
        if from > head {
            return Vec::new();
        }
        let mut news = Vec::new();
        for (id, subscription) in &self.live {
            let results: Vec<Value> = match subscription {
                Subscription::Heads => {
                    let first = from.max(head.saturating_sub(HEADS_MAX - 1));
                    (first..=head).map(|number| json!(rpc::header(chain, number))).collect()
                }
                Subscription::Logs(filter) => {
                    let filter = filter.as_ref().clone().from_block(from).to_block(head);
                    match rpc::logs(chain, &filter) {
                        Ok(Value::Array(logs)) => logs,
                        _ => Vec::new(),
                    }
                }
            };
            news.extend(results.into_iter().map(|result| {
                let params = json!({ "subscription": format!("{id:#x}"), "result": result });
                json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params })
            }));
        }
        news
    }
}

//! RPC endpoints that are no good, and one that dies.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// A port at which nobody listens.
pub fn dead() -> String {
    "http://127.0.0.1:1".to_owned()
}

/// One that answers everything with HTTP 500.
pub fn broken() -> String {
    serve(|mut stream| {
        let _ = stream.read(&mut [0; 4_096]);
        let answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops";
        let _ = stream.write_all(answer);
    })
}

/// One that takes requests and never answers.
pub fn hanging() -> String {
    serve(|mut stream| {
        let mut request = [0; 4_096];
        while stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {}
    })
}

/// One that has a reason to refuse everything, as where too much is asked of it.
pub fn refusing() -> String {
    serve(|stream| say(stream, "503 No", r#""error":{"code":-32000,"message":"not today"}"#))
}

/// One of chain 1, which answers everything with 1.
pub fn of_another_chain() -> String {
    serve(|stream| say(stream, "200 OK", r#""result":"0x1""#))
}

fn say(mut stream: TcpStream, status: &str, what: &str) {
    let mut request = [0; 65_536];
    let bytes = stream.read(&mut request).unwrap_or_default();
    let text = String::from_utf8_lossy(&request[..bytes]).into_owned();
    let id =
        text.rsplit_once("\"id\":").map_or("0", |(_, rest)| rest.split([',', '}']).next().unwrap_or("0"));
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},{what}}}"#);
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all([head, body].concat().as_bytes());
}

fn serve(answer: fn(TcpStream)) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    #[expect(clippy::disallowed_methods, reason = "a server beside the test")]
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || answer(stream));
        }
    });
    url
}

/// One that passes everything on to another, until it dies.
pub struct Mortal {
    pub url: String,
    life: Arc<Mutex<Option<Vec<TcpStream>>>>,
}

impl Mortal {
    pub fn before(rpc: &str) -> Self {
        let target = rpc.strip_prefix("http://").expect("http").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let life = Arc::new(Mutex::new(Some(Vec::new())));
        let lives = life.clone();
        #[expect(clippy::disallowed_methods, reason = "a server beside the test")]
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let Ok(other) = TcpStream::connect(&target) else { return };
                let mut lives = lives.lock().expect("nobody panics with it");
                // Dead: the listener goes, and with it whoever connects.
                let Some(streams) = lives.as_mut() else { return };
                for (from, to) in [(&stream, &other), (&other, &stream)] {
                    let (mut from, mut to) = (from.try_clone().expect("open"), to.try_clone().expect("open"));
                    streams.push(from.try_clone().expect("open"));
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { url, life }
    }

    pub fn die(&self) {
        for stream in self.life.lock().expect("nobody panics with it").take().into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // Wakes the listener, which goes.
        let _ = TcpStream::connect(self.url.strip_prefix("http://").expect("ours"));
    }
}

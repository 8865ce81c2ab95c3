//! The ping-pong on madsim; built with `--cfg madsim`, which turns madsim's simulation on.

#[cfg(madsim)]
fn main() {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};

    use clap::Parser;
    use decdn_sim_rivals::{Game, LATENCY, PORT};
    use madsim::{
        Config,
        net::Endpoint,
        runtime::{Handle, Runtime},
    };

    let game = Game::parse();
    let mut config = Config::default();
    config.net.send_latency = LATENCY.0..LATENCY.1;
    game.measure(|| {
        let runtime = Runtime::with_seed_and_config(game.seed, config);
        runtime.block_on(async {
            let handle = Handle::current();
            let mut clients = Vec::new();
            for pair in 0..game.pairs {
                let ip = move |side| IpAddr::V4(Ipv4Addr::new(10, 0, side, pair + 1));
                let there = SocketAddr::new(ip(1), PORT);
                let server = handle.create_node().name(format!("server-{pair}")).ip(ip(1)).build();
                server.spawn(async move {
                    let socket = Endpoint::bind(there).await.expect("a free port");
                    let mut buffer = [0; 8];
                    loop {
                        let (bytes, from) = socket.recv_from(1, &mut buffer).await.expect("a message");
                        socket.send_to(from, 1, &buffer[..bytes]).await.expect("room");
                    }
                });
                let client = handle.create_node().name(format!("client-{pair}")).ip(ip(0)).build();
                clients.push(client.spawn(async move {
                    let socket = Endpoint::bind(SocketAddr::new(ip(0), PORT)).await.expect("a free port");
                    // The server's task may start later.
                    madsim::time::sleep(LATENCY.1).await;
                    let mut buffer = [7; 8];
                    for _ in 0..game.answers() {
                        socket.send_to(there, 1, &buffer).await.expect("room");
                        socket.recv_from(1, &mut buffer).await.expect("an answer");
                    }
                }));
            }
            for client in clients {
                client.await.expect("a client that ends");
            }
        });
    });
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    eprintln!("error: this is madsim without its simulation; build it with RUSTFLAGS=\"--cfg madsim\".");
    std::process::ExitCode::from(2)
}

//! The ping-pong on turmoil.

use std::{net::Ipv4Addr, time::Duration};

use clap::Parser;
use decdn_sim_rivals::{Game, LATENCY, PORT};
use turmoil::net::UdpSocket;

fn main() {
    let game = Game::parse();
    game.measure(|| {
        let mut sim = turmoil::Builder::new()
            .rng_seed(game.seed)
            .tick_duration(Duration::from_millis(1))
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .simulation_duration(Duration::from_secs(1_000_000))
            .build();
        for pair in 0..game.pairs {
            sim.host(format!("server-{pair}"), || async {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
                let mut buffer = [0; 8];
                loop {
                    let (bytes, from) = socket.recv_from(&mut buffer).await?;
                    socket.send_to(&buffer[..bytes], from).await?;
                }
            });
            let server = format!("server-{pair}");
            sim.client(format!("client-{pair}"), async move {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
                let there = (turmoil::lookup(server), PORT);
                let mut buffer = [7; 8];
                for _ in 0..game.answers() {
                    socket.send_to(&buffer, there).await?;
                    socket.recv_from(&mut buffer).await?;
                }
                Ok(())
            });
        }
        sim.run().expect("every client ends");
    });
}

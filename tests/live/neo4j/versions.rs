//! Every version of Bolt that is offered.

use std::net::SocketAddr;

use probity_probes::FailureKind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::{code, entry, fact};
use crate::support::background::{Background, adopt, listener};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::neo4j::shared;
use crate::support::truth::{Expected, check, states};

states! { "neo4j":
    OLDER = "an older version of Bolt", "4.4, 5.0 to 5.4, 5.6 to 5.8, by a proxy that offers no other" => Expected::HEALTHY;
    REFUSED = "a failure in an older version of Bolt", "the same, and ?database=nosuch" => Expected::fails(FailureKind::Config);
    NEWER = "no common version of Bolt", "a proxy that offers 9.9" => Expected::fails(FailureKind::Protocol);
}

/// A proxy that offers the server one version, whatever the client says.
struct Offer {
    addr: SocketAddr,
    _thread: Background,
}

impl Offer {
    fn of(major: u8, minor: u8) -> Self {
        let (listener, upstream) = (listener(), shared().addr());
        let addr = listener.local_addr().expect("a listener has an address");
        let accept = move || async move {
            let listener = adopt(listener);
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(upstream).await?;
                    let mut offers = [0; 20];
                    client.read_exact(&mut offers).await?;
                    offers[4..].copy_from_slice(&[0, 0, minor, major, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                    server.write_all(&offers).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        };
        Self { addr, _thread: Background::spawn("offer", accept) }
    }
}

/// From 5.1 on the log-in is a message of its own, and from 5.7 on a failure's code has another name.
#[test]
fn every_version_is_spoken_and_its_failures_are_understood() {
    if !require("neo4j") {
        return;
    }
    for (major, minor) in [(4, 4), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4), (5, 6), (5, 7), (5, 8)] {
        let offer = Offer::of(major, minor);
        let outcome = Asked::new("neo4j", entry(offer.addr, json!({}))).run_within(super::SOON);
        check(&OLDER, &outcome);
        assert_eq!(fact(&outcome, "bolt_version"), format!("{major}.{minor}"));
        assert!(outcome.missing.is_empty(), "{outcome:#?}");
        let unknown = json!({ "url": format!("bolt://{}?database=nosuch", offer.addr) });
        let outcome = Asked::new("neo4j", entry(offer.addr, unknown)).run();
        check(&REFUSED, &outcome);
        assert_eq!(code(&outcome), Some("ClientError.Database.DatabaseNotFound"), "{major}.{minor}");
    }
    let outcome = Asked::new("neo4j", entry(Offer::of(9, 9).addr, json!({}))).run();
    check(&NEWER, &outcome);
    assert_eq!(outcome.failure.and_then(|failure| failure.code).as_deref(), Some("no_common_version"));
}

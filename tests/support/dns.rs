//! A name server whose every answer is told: addresses, services, texts, errors, silence.
//!
//! It speaks UDP and TCP on one port of 127.0.0.1. Answers have no time to live, so that a change is seen at once
//! by whoever honours that. A name that it was never told is NXDOMAIN.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener, UdpSocket as StdUdp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::background::{Background, adopt, listener};

/// What is answered to questions about one name.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// These addresses, each family to the question that asks for it.
    Addresses(Vec<IpAddr>),
    /// These hosts and ports, to whoever asks for SRV.
    Services(Vec<(String, u16)>),
    /// These texts, a record each, to whoever asks for TXT.
    Texts(Vec<String>),
    /// The name does not exist.
    Nxdomain,
    /// The server has failed.
    Servfail,
    /// The server will not tell.
    Refused,
    /// The name exists, without an address.
    NoData,
    /// Nothing, ever.
    Silent,
    /// Something, so much later.
    After(Duration, Box<Answer>),
}

/// The name server; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct DnsServer {
    addr: SocketAddr,
    zone: Arc<Zone>,
    _thread: Background,
}

impl DnsServer {
    /// Starts one that knows no name yet.
    pub(crate) fn start() -> Self {
        let (udp, tcp) = both_on_one_port();
        let addr = tcp.local_addr().expect("a listener has an address");
        let zone = Arc::new(Zone::default());
        let state = Arc::clone(&zone);
        let serve = move || async move {
            let udp = UdpSocket::from_std(udp).expect("the runtime takes a non-blocking socket");
            tokio::join!(serve_udp(udp, Arc::clone(&state)), serve_tcp(tcp, state));
        };
        Self { addr, zone, _thread: Background::spawn("dns", serve) }
    }

    /// Where it listens, with UDP and with TCP.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Tells it what to answer about `name` (a full name, without the last dot) from now on.
    pub(crate) fn set(&self, name: &str, answer: Answer) {
        lock(&self.zone.answers).insert(name.to_ascii_lowercase(), answer);
    }

    /// The questions it was asked so far, as `NAME TYPE`.
    pub(crate) fn questions(&self) -> Vec<String> {
        lock(&self.zone.questions).clone()
    }
}

#[derive(Debug, Default)]
struct Zone {
    answers: Mutex<HashMap<String, Answer>>,
    questions: Mutex<Vec<String>>,
}

impl Zone {
    /// The reply to a packet, in its own time; `None` is silence.
    async fn reply(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let asked = Message::from_vec(packet).ok()?;
        let query = asked.queries.first()?.clone();
        let name = query.name().to_ascii().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        lock(&self.questions).push(format!("{name} {}", query.query_type()));
        let told = lock(&self.answers).get(name).cloned();
        let mut answer = told.unwrap_or(Answer::Nxdomain);
        while let Answer::After(delay, then) = answer {
            tokio::time::sleep(delay).await;
            answer = *then;
        }
        let mut reply = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.recursion_desired = asked.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.response_code = match answer {
            Answer::Silent | Answer::After(..) => return None,
            Answer::Nxdomain => ResponseCode::NXDomain,
            Answer::Servfail => ResponseCode::ServFail,
            Answer::Refused => ResponseCode::Refused,
            _ => ResponseCode::NoError,
        };
        let data = records(answer, query.query_type()).into_iter();
        reply.add_answers(data.map(|data| Record::from_rdata(query.name().clone(), 0, data)));
        reply.add_query(query);
        reply.to_vec().ok()
    }
}

/// The data of the records that answer a question of this type.
fn records(answer: Answer, kind: RecordType) -> Vec<RData> {
    let address = |address| match (address, kind) {
        (IpAddr::V4(v4), RecordType::A) => Some(RData::A(v4.into())),
        (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA(v6.into())),
        _ => None,
    };
    let service = |(host, port): (String, u16)| RData::SRV(SRV::new(0, 0, port, Name::from_ascii(host).expect("a name")));
    match answer {
        Answer::Addresses(addresses) => addresses.into_iter().filter_map(address).collect(),
        Answer::Services(services) if kind == RecordType::SRV => services.into_iter().map(service).collect(),
        // In pieces, as long ones have to be.
        Answer::Texts(texts) if kind == RecordType::TXT => texts.iter().map(|text| RData::TXT(in_two(text))).collect(),
        _ => Vec::new(),
    }
}

fn in_two(text: &str) -> TXT {
    let (first, second) = text.split_at(text.len() / 2);
    TXT::new(vec![first.to_owned(), second.to_owned()])
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Zone>) {
    let socket = Arc::new(socket);
    let mut packet = [0; 4096];
    loop {
        // An earlier reply to a client that has gone comes back as an error here.
        let Ok((count, from)) = socket.recv_from(&mut packet).await else {
            continue;
        };
        let (socket, zone) = (Arc::clone(&socket), Arc::clone(&zone));
        let question = packet[..count].to_vec();
        tokio::spawn(async move {
            if let Some(reply) = zone.reply(&question).await {
                let _ = socket.send_to(&reply, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: StdListener, zone: Arc<Zone>) {
    let listener = adopt(listener);
    while let Ok((stream, _)) = listener.accept().await {
        let zone = Arc::clone(&zone);
        tokio::spawn(async move {
            let _ = converse(stream, &zone).await;
        });
    }
}

/// Over TCP each message follows its length (RFC 1035, 4.2.2).
async fn converse(mut stream: TcpStream, zone: &Zone) -> io::Result<()> {
    loop {
        let mut packet = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut packet).await?;
        if let Some(reply) = zone.reply(&packet).await {
            let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
            let framed = [&length.to_be_bytes(), reply.as_slice()].concat();
            stream.write_all(&framed).await?;
        }
    }
}

/// A UDP socket and a TCP listener with the same number.
fn both_on_one_port() -> (StdUdp, StdListener) {
    for _ in 0..100 {
        let tcp = listener();
        let addr = tcp.local_addr().expect("a listener has an address");
        if let Ok(udp) = StdUdp::bind(addr) {
            udp.set_nonblocking(true).expect("a socket can be made non-blocking");
            return (udp, tcp);
        }
    }
    panic!("no port of 127.0.0.1 is free for both UDP and TCP");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! HTTP/1.1 on kept-alive connections: one request at a time, or many at a steady rate.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// A connection that is asked again and again.
pub(crate) struct Poller(BufReader<TcpStream>);

impl Poller {
    pub(crate) fn new(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the agent listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("not zero");
        Self(BufReader::new(stream))
    }

    /// The status of a page; 0 when there is no answer.
    pub(crate) fn get(&mut self, path: &str) -> u16 {
        self.try_get(path).unwrap_or(0)
    }

    fn try_get(&mut self, path: &str) -> Option<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).ok()?;
        let (mut status, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            self.0.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let text = line.trim_end().to_ascii_lowercase();
            if status.is_none() {
                status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
            } else if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            } else if text.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        status
    }
}

/// Requests at a steady rate: the time of each answer, and how many had none.
pub(crate) fn steady(addr: SocketAddr, path: &'static str, rate: u32, span: Duration) -> (Vec<Duration>, usize) {
    const CONNECTIONS: u32 = 10;
    let pause = Duration::from_secs(1) * CONNECTIONS / rate;
    let workers: Vec<_> = (0..CONNECTIONS)
        .map(|n| {
            thread::spawn(move || {
                let mut poller = Poller::new(addr);
                let begin = Instant::now() + pause * n / CONNECTIONS;
                let (mut times, mut errors, mut due) = (Vec::new(), 0, begin);
                while due < begin + span {
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    let sent = Instant::now();
                    match poller.get(path) {
                        200 | 503 => times.push(sent.elapsed()),
                        _ => errors += 1,
                    }
                    due += pause;
                }
                (times, errors)
            })
        })
        .collect();
    let mut all = (Vec::new(), 0);
    for worker in workers {
        let (times, errors) = worker.join().expect("a worker does not panic");
        all.0.extend(times);
        all.1 += errors;
    }
    all
}

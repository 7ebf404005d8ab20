//! The bytes of TDS as a server says them (MS-TDS 2.2.7).

use serde_json::Value as Json;

/// The header of a packet.
pub(crate) const HEADER: usize = 8;

/// Most of a message that goes into one packet.
const PACKET: usize = 4096 - HEADER;

/// A message, in as many packets as it takes.
pub(crate) fn packets(kind: u8, body: &[u8]) -> Vec<u8> {
    let count = body.len().div_ceil(PACKET).max(1);
    let piece = |number: usize| {
        let part = &body[number * PACKET..body.len().min((number + 1) * PACKET)];
        let [high, low] = u16::try_from(part.len() + HEADER).expect("a short packet").to_be_bytes();
        let id = u8::try_from(number % 256).expect("below 256");
        [&[kind, u8::from(number + 1 == count), high, low, 0, 0, id, 0], part].concat()
    };
    (0..count).flat_map(piece).collect()
}

/// PRELOGIN with every option that a client looks at.
pub(crate) fn prelogin(encryption: u8) -> Vec<u8> {
    let options: [(u8, &[u8]); 5] = [(0, &[16, 0, 16, 0, 0, 0]), (1, &[encryption]), (2, &[0]), (3, &[]), (4, &[0])];
    let (mut table, mut data, start) = (Vec::new(), Vec::new(), options.len() * 5 + 1);
    for (option, value) in options {
        let number = |number: usize| u16::try_from(number).expect("a short message").to_be_bytes();
        let (place, length) = (number(start + data.len()), number(value.len()));
        table.extend([option, place[0], place[1], length[0], length[1]]);
        data.extend_from_slice(value);
    }
    [table, vec![0xff], data].concat()
}

/// A row of an answer that is too short for a table.
pub(crate) fn table(columns: &[&str], rows: &[Vec<Json>]) -> Vec<u8> {
    let number = |at: usize| rows.iter().any(|row| row[at].is_number());
    let mut bytes = vec![0x81];
    bytes.extend(u16::try_from(columns.len()).expect("few columns").to_le_bytes());
    for (at, name) in columns.iter().enumerate() {
        // No user's type; it may be NULL. INTN of 8 bytes, or NVARCHAR with a collation.
        bytes.extend([0, 0, 0, 0, 1, 0]);
        bytes.extend(if number(at) { &[0x26, 8][..] } else { &[0xe7, 0x40, 0x1f, 9, 4, 0xd0, 0, 0x34] });
        bytes.extend(short(name));
    }
    for row in rows {
        bytes.push(0xd1);
        for (at, value) in row.iter().enumerate() {
            match value {
                Json::Number(value) => {
                    bytes.push(8);
                    bytes.extend(value.as_i64().expect("a whole number").to_le_bytes());
                }
                Json::Null if number(at) => bytes.push(0),
                Json::Null => bytes.extend([0xff, 0xff]),
                text => bytes.extend(counted(text.as_str().expect("a text"), 2)),
            }
        }
    }
    [bytes, done(0x10, rows.len() as u64)].concat()
}

/// The end of an answer: its status, and how many rows it had.
pub(crate) fn done(status: u16, rows: u64) -> Vec<u8> {
    [&[0xfd][..], &status.to_le_bytes(), &[0xc1, 0], &rows.to_le_bytes()].concat()
}

/// An error, with the end of the answer.
pub(crate) fn error(number: u32, state: u8, words: &str) -> Vec<u8> {
    let class = if number == 18456 { 14 } else { 16 };
    let fields = [&number.to_le_bytes()[..], &[state, class], &long(words), &short("standin"), &[0, 0, 0, 0, 0]].concat();
    [token(0xaa, &fields), done(2, 0)].concat()
}

/// What a server says who has let somebody in.
pub(crate) fn let_in(database: &str, version: [u8; 4]) -> Vec<u8> {
    let ack = [&[1][..], &version, &short("Microsoft SQL Server"), &[16, 0, 16, 0]].concat();
    let change = |kind: u8, new: &str, old: &str| token(0xe3, &[&[kind][..], &short(new), &short(old)].concat());
    let collation = token(0xe3, &[7, 5, 9, 4, 0xd0, 0, 0x34, 0]);
    [
        change(1, database, "master"),
        collation,
        change(2, "us_english", ""),
        token(0xad, &ack),
        change(4, "4096", "4096"),
        done(0, 0),
    ]
    .concat()
}

/// The same, with another address to go to.
pub(crate) fn sent_on(host: &str, port: u16, version: [u8; 4]) -> Vec<u8> {
    let value = [&[0][..], &port.to_le_bytes(), &long(host)].concat();
    let length = u16::try_from(value.len()).expect("a short name").to_le_bytes();
    let route = token(0xe3, &[&[20][..], &length, &value, &[0, 0]].concat());
    let welcome = let_in("master", version);
    let (before, end) = welcome.split_at(welcome.len() - done(0, 0).len());
    [before, &route, end].concat()
}

/// A transaction has begun (8), or ended (9, 10).
pub(crate) fn transaction(kind: u8) -> Vec<u8> {
    let id = [8, 1, 0, 0, 0, 0, 0, 0, 0];
    let value: [&[u8]; 2] = if kind == 8 { [&id, &[0]] } else { [&[0], &id] };
    [token(0xe3, &[&[kind][..], &value.concat()].concat()), done(0, 0)].concat()
}

fn token(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(body.len()).expect("a short token").to_le_bytes(), body].concat()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A text behind one byte with the number of its characters.
fn short(text: &str) -> Vec<u8> {
    let wide = wide(text);
    [&[u8::try_from(wide.len() / 2).expect("a short name")][..], &wide].concat()
}

/// A text behind two bytes with the number of its characters.
fn long(text: &str) -> Vec<u8> {
    counted(text, 1)
}

/// A text behind two bytes with the number of its units: characters (1), or bytes (2).
fn counted(text: &str, unit: usize) -> Vec<u8> {
    let wide = wide(text);
    [&u16::try_from(wide.len() / 2 * unit).expect("a short text").to_le_bytes()[..], &wide].concat()
}

/// A field of LOGIN7, whose place and length stand at `at`.
pub(crate) fn field(login: &[u8], at: usize) -> Option<String> {
    let number = |at: usize| Some(usize::from(u16::from_le_bytes([*login.get(at)?, *login.get(at + 1)?])));
    let (start, length) = (number(at)?, number(at + 2)?);
    let mut bytes = login.get(start..start + 2 * length)?.to_vec();
    if at == PASSWORD_AT {
        for byte in &mut bytes {
            *byte = (*byte ^ 0xa5).rotate_left(4);
        }
    }
    let wide: Vec<_> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    String::from_utf16(&wide).ok()
}

/// Where the fields of LOGIN7 are told of.
pub(crate) const USER_AT: usize = 40;
pub(crate) const PASSWORD_AT: usize = 44;
pub(crate) const APPLICATION_AT: usize = 48;
pub(crate) const DATABASE_AT: usize = 68;

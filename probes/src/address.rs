//! Where a dependency is: parsed once, used by everyone, printed without its secrets.

use std::{fmt, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use url::{Position, Url};

use crate::{
    backend::ConfigError,
    plain::{is_parameter, is_scheme, mistaken},
    secret::Secret,
    tls::TlsConfig,
    wire::dial::Target,
};

/// One place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A host name or address, and a port.
    Tcp {
        /// Without the brackets of an IPv6 address.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// More addresses than these are not tried.
pub(crate) const MOST_PLACES: usize = 16;

/// Who logs in is said once.
const SEVERAL_USERS: &str =
    "a URL with a user behind its first host: user and password stand before it, and an `@` in them is written %40";

/// What fits into the address of a socket (unix(7), `sun_path`).
const LONGEST_SOCKET: usize = 107;

/// What to do with a password that breaks its URL.
const ENCODE: &str = "encode the password, or use `password = { env = … }`";

/// A URL whose password, if it has one, was moved into a [`Secret`]. It may name several hosts: `scheme://a,b:1/path`.
///
/// No error of it quotes a piece of it, because a password that is not encoded makes any piece a part of itself.
#[derive(Clone)]
pub struct Address {
    /// With the first host only.
    url: Url,
    places: Vec<Place>,
    user: Option<String>,
    password: Option<Secret>,
    /// Whether a part of it came from the environment: then nothing in it is known to be harmless.
    expanded: bool,
}

/// A host and the port that was written behind it.
#[derive(Clone, Debug)]
struct Place {
    host: String,
    port: Option<u16>,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence that does not repeat it.
    pub fn parse(text: &str) -> Result<Self, String> {
        // What `Url` removes at both ends, and would remove within, where a password would be another one.
        let text = text.trim_matches(|c: char| c <= ' ');
        if text.chars().any(char::is_control) {
            return Err(format!("a URL with a control character in it: {ENCODE}"));
        }
        let Parts { bare, user_info, hosts } = Parts::of(text)?;
        let url = Url::parse(&bare).map_err(not_a_url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("not a URL: two slashes must stand between its scheme and its user".into());
        }
        // A host is needed to find the two, and a socket has none.
        let login = Url::parse(&format!("any://{user_info}host")).map_err(not_a_url)?;
        let places = hosts.iter().map(|host| Place::parse(url.scheme(), host)).collect::<Result<Vec<_>, _>>();
        let places = places.map_err(not_a_url)?;
        if !is_encoded(&user_info) {
            return Err(format!("a URL whose user or password has a `%` that encodes nothing: {ENCODE}"));
        }
        let decode = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned);
        let not_utf8 = |_| "a URL whose user or password is not percent-encoded UTF-8".to_owned();
        let user = Some(login.username()).filter(|user| !user.is_empty()).map(decode).transpose().map_err(not_utf8)?;
        let password = login.password().map(decode).transpose().map_err(not_utf8)?.map(Secret::value);
        Ok(Self { url, places, user, password, expanded: false })
    }

    /// Marks a URL of which a part came from the environment: its errors name nothing of it.
    #[must_use]
    pub fn expanded(self) -> Self {
        Self { expanded: true, ..self }
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// The user name, decoded.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, if the URL carried one.
    #[must_use]
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// Hosts and ports in their order, with the backend's port where the URL names none.
    ///
    /// # Errors
    /// A sentence when the URL has no host, or too many.
    pub fn endpoints(&self, default_port: u16) -> Result<Vec<Endpoint>, String> {
        if self.places.is_empty() || self.places.iter().any(|place| place.host.is_empty()) {
            return Err("the URL names no host".into());
        }
        if self.places.iter().any(|place| place.host.contains('%')) {
            return Err("a host has no `%` in it".into());
        }
        if self.places.len() > MOST_PLACES {
            return Err(format!("the URL names more than {MOST_PLACES} hosts"));
        }
        let endpoint = |place: &Place| Endpoint::Tcp { host: place.host.clone(), port: place.port.unwrap_or(default_port) };
        Ok(self.places.iter().map(endpoint).collect())
    }

    /// Refuses a list of hosts.
    ///
    /// # Errors
    /// A sentence with the reason why each host needs an entry of its own.
    pub fn one_host(&self, reason: &str) -> Result<(), String> {
        if self.places.len() > 1 {
            return Err(format!("the URL names several hosts: {reason}"));
        }
        Ok(())
    }

    /// The name of a service whose hosts and ports are looked up.
    ///
    /// # Errors
    /// A sentence when there are several, one that has a port already, or an address.
    pub fn service_host(&self) -> Result<&str, String> {
        self.endpoints(0)?;
        self.one_host("there is one name, and its hosts are looked up")?;
        match &self.places[..] {
            [Place { port: Some(_), .. }] => Err("the URL names a port: it is looked up together with the hosts".into()),
            [Place { host, port: None }] if host.parse::<std::net::IpAddr>().is_err() => Ok(host),
            _ => Err("the URL names an address: hosts are looked up by a name".into()),
        }
    }

    /// The path without its leading slash, decoded; `None` when empty.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        let path = self.url.path().trim_start_matches('/');
        let decoded = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        (!decoded.is_empty()).then_some(decoded)
    }

    /// The parameters behind the question mark, in order.
    pub fn parameters(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned()))
    }

    /// The last parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.parameters().filter(|(key, _)| key == name).last().map(|(_, value)| value)
    }

    /// Refuses a scheme or a parameter that this backend does not know.
    ///
    /// # Errors
    /// A sentence with a suggestion. It names a parameter only if that is a plain word that was typed.
    pub fn expect(&self, schemes: &[&str], parameters: &[&str]) -> Result<(), String> {
        if !schemes.contains(&self.scheme()) {
            return Err(match nearest(self.scheme(), schemes.iter().copied()) {
                Some(near) if !self.expanded && is_scheme(self.scheme()) => {
                    format!("unknown URL scheme `{}`; did you mean `{near}`?", self.scheme())
                }
                _ if !self.expanded && is_scheme(self.scheme()) => {
                    format!("unknown URL scheme `{}`; known are {}", self.scheme(), schemes.join(", "))
                }
                _ => format!("unknown URL scheme; known are {}", schemes.join(", ")),
            });
        }
        let stranger = self.parameters().enumerate().find(|(_, (key, _))| !parameters.contains(&key.as_str()));
        let Some((at, (key, _))) = stranger else { return Ok(()) };
        let is_named = !self.expanded && is_parameter(&key);
        let shown = if is_named { format!("`{key}`") } else { format!("{} (its name is not shown)", at + 1) };
        Err(match nearest(&key, parameters.iter().copied()) {
            _ if parameters.is_empty() && is_named => format!("the URL takes no parameters, but has {shown}"),
            _ if parameters.is_empty() => format!("the URL takes no parameters, but has parameter {}", at + 1),
            Some(near) if is_named => format!("unknown URL parameter {shown}; did you mean `{near}`?"),
            _ => format!("unknown URL parameter {shown}; known are {}", parameters.join(", ")),
        })
    }

    /// "unknown X `y`; did you mean `z`?", of the value of a parameter.
    #[must_use]
    pub fn mistaken(&self, what: &str, word: &str, known: &[&str]) -> String {
        if self.expanded { format!("unknown {what}; known are {}", known.join(", ")) } else { mistaken(what, word, known) }
    }

    /// User name and password, from the URL or from keys of their own, but not from both.
    ///
    /// # Errors
    /// The key that says again what the URL says already.
    pub fn credentials(&self, username: Option<String>, password: Option<Secret>) -> Result<Credentials, ConfigError> {
        let again = |key: &'static str, there: bool| {
            if there {
                Err(ConfigError::new(key, format!("`{key}` is given here and in the URL; keep one of them")))
            } else {
                Ok(())
            }
        };
        again("username", username.is_some() && self.user.is_some())?;
        again("password", password.is_some() && self.password.is_some())?;
        Ok(Credentials { user: username.or_else(|| self.user.clone()), password: password.or_else(|| self.password.clone()) })
    }

    /// Sockets of this machine instead of hosts, in their order.
    ///
    /// # Errors
    /// A host beside them, a path that cannot be a socket's, or TLS, which is of no use there.
    pub fn on_sockets(&self, paths: Vec<PathBuf>, tls: Option<&TlsConfig>) -> Result<Target, ConfigError> {
        let wrong = |message: &str| Err(ConfigError::new("url", message));
        if self.places.iter().any(|place| !["", "localhost"].contains(&place.host.as_str())) {
            return wrong("the URL names a host and a socket; a socket alone has three slashes: `scheme:///path`");
        }
        if paths.iter().any(|path| !path.is_absolute()) {
            return wrong("the path of a socket must begin with a slash");
        }
        if paths.iter().any(|path| path.as_os_str().len() > LONGEST_SOCKET) {
            return Err(ConfigError::new("url", format!("the path of a socket has at most {LONGEST_SOCKET} bytes")));
        }
        if tls.is_some() {
            return Err(ConfigError::new("tls", "`tls` is set, but a unix socket is plain text"));
        }
        Ok(Target::plain(paths.into_iter().map(Endpoint::Unix).collect()))
    }

    /// The path of the URL as that of a socket.
    ///
    /// # Errors
    /// A sentence when there is none.
    pub fn socket(&self) -> Result<PathBuf, String> {
        self.path().map(|path| PathBuf::from("/").join(path)).ok_or_else(|| "the URL names no socket".into())
    }

    /// Where it is and how TLS is done, for protocols whose scheme says whether they begin with TLS.
    ///
    /// # Errors
    /// No host, or TLS settings for a scheme without TLS.
    pub fn target(&self, default_port: u16, tls_scheme: bool, tls: Option<TlsConfig>) -> Result<Target, ConfigError> {
        let endpoints = self.endpoints(default_port).map_err(ConfigError::at("url"))?;
        match (tls_scheme, tls) {
            (true, tls) => Ok(Target::tls(endpoints, checked(tls.unwrap_or_default())?)),
            (false, None) => Ok(Target::plain(endpoints)),
            (false, Some(_)) => Err(ConfigError::new("tls", format!("`tls` is set, but `{}://` is plain text", self.scheme()))),
        }
    }

    /// Where it is and how TLS is done, for protocols that begin in plain text and ask for TLS.
    ///
    /// # Errors
    /// No host, or TLS settings that cannot be used.
    pub fn upgraded_target(&self, default_port: u16, tls: Option<TlsConfig>) -> Result<Target, ConfigError> {
        let endpoints = self.endpoints(default_port).map_err(ConfigError::at("url"))?;
        match tls {
            Some(tls) => Ok(Target::upgraded(endpoints, checked(tls)?)),
            None => Ok(Target::plain(endpoints)),
        }
    }

    /// The URL as given, but for user name and password, and with the first host only.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }
}

impl Place {
    fn parse(scheme: &str, text: &str) -> Result<Self, url::ParseError> {
        let host = match Url::parse(&format!("{scheme}://{text}"))?.host() {
            Some(url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        // A scheme with a port of its own would hide that one.
        let port = Url::parse(&format!("any://{text}"))?.port();
        Ok(Self { host, port })
    }
}

/// A URL taken to pieces.
struct Parts {
    /// Without user and password, and with the first host only.
    bare: String,
    /// User and password with the `@` behind them, or nothing.
    user_info: String,
    hosts: Vec<String>,
}

impl Parts {
    /// Each host may repeat the scheme, as lists of NATS servers do.
    fn of(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("not a URL: it begins with a scheme and `://`".into());
        };
        if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
            return Err("not a URL: it begins with a scheme and `://`".into());
        }
        let again = format!(",{scheme}:");
        let (mut rest, mut repeated) = (rest.to_owned(), None);
        let end = loop {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            if !(rest[..end].ends_with(&again) && rest[end..].starts_with("//")) {
                break end;
            }
            let comma = end - again.len();
            rest.replace_range(comma + 1..end + 2, "");
            repeated.get_or_insert(comma);
        };
        let (authority, behind) = rest.split_at(end);
        if behind.contains('@') {
            // The password may hold `/`, `?` or `#`; then what looks like host and port is a part of it.
            return Err(format!("a URL with an `@` behind its host: {ENCODE}; elsewhere `@` is written %40"));
        }
        if behind.contains('#') {
            return Err(format!("a URL with a `#` in it, and no fragment is used: {ENCODE}; elsewhere `#` is written %23"));
        }
        if authority.contains('\\') {
            return Err(format!("a URL with a backslash before its path: {ENCODE}"));
        }
        let (user_info, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let is_behind = repeated.is_some_and(|comma| comma < user_info.len());
        if is_behind || user_info.split_once('@').is_some_and(|(_, more)| more.contains(',')) {
            return Err(SEVERAL_USERS.into());
        }
        let hosts: Vec<_> = hosts.split(',').map(str::to_owned).collect();
        if hosts.len() > 1 && hosts.iter().any(String::is_empty) {
            return Err("a URL with an empty place in its list of hosts".into());
        }
        let bare = format!("{scheme}://{}{behind}", hosts.first().map_or("", String::as_str));
        Ok(Self { bare, user_info: user_info.to_owned(), hosts })
    }
}

/// Who logs in.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The account.
    pub user: Option<String>,
    /// Its password or token.
    pub password: Option<Secret>,
}

/// TLS settings that make sense together.
///
/// # Errors
/// The key at fault.
pub fn checked(tls: TlsConfig) -> Result<TlsConfig, ConfigError> {
    match tls.check() {
        Ok(()) => Ok(tls),
        Err((key, message)) => Err(ConfigError::new(key, message)),
    }
}

/// Why the `url` crate refuses something, in its own words, which repeat nothing.
fn not_a_url(error: url::ParseError) -> String {
    match error {
        url::ParseError::InvalidPort => {
            format!("not a URL: the port is not a number up to 65535; if it is part of a password, {ENCODE}")
        }
        url::ParseError::RelativeUrlWithoutBase => "not a URL: it begins with a scheme and `://`".into(),
        url::ParseError::InvalidDomainCharacter | url::ParseError::IdnaError => {
            format!("not a URL: a host has characters that no host has; if they are part of a password, {ENCODE}")
        }
        error => format!("not a URL: {error}"),
    }
}

/// Whether each `%` begins an encoded byte.
fn is_encoded(text: &str) -> bool {
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    (0..bytes.len()).all(|at| bytes[at] != b'%' || is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)))
}

/// "unknown X `y`; did you mean `z`?", or the list of what is known. It quotes the word whatever it is: for words of
/// the reader of the sentence. Those of a catalog go to [`mistaken`].
#[must_use]
pub fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("unknown {what} `{word}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{word}`; known are {}", known.join(", ")),
    }
}

/// The known word that was most likely meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // No known word is longer, and comparing takes the product of both lengths.
    if word.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), candidate), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Scheme, hosts, ports and path only: parameters may hold secrets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url[..Position::AfterPort])?;
        for Place { host, port } in self.places.iter().skip(1) {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            write!(f, ",{host}{}", port.map(|port| format!(":{port}")).unwrap_or_default())?;
        }
        f.write_str(&self.url[Position::BeforePath..Position::AfterPath])
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// As the agent hands it on: a text, or a table where a part of it came from the environment.
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a URL in quotes")]
        enum Written {
            Typed(String),
            Expanded { expanded: String },
        }
        let parsed = match Written::deserialize(deserializer)? {
            Written::Typed(text) => Self::parse(&text),
            Written::Expanded { expanded } => Self::parse(&expanded).map(Self::expanded),
        };
        parsed.map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Url".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "url" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(url: &str) -> Vec<String> {
        let address = Address::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"));
        address.endpoints(7).expect("hosts").iter().map(Endpoint::to_string).collect()
    }

    #[test]
    fn a_url_may_name_several_hosts() {
        assert_eq!(places("postgres://u:p%2c@a:1,b,[::1]:2,127.0.0.1/x,y?z=,"), ["a:1", "b:7", "[::1]:2", "127.0.0.1:7"]);
        assert_eq!(places("nats://a:1,nats://b:2"), ["a:1", "b:2"]);
        assert_eq!(places("http://a:80,b"), ["a:80", "b:7"]);
        let address = Address::parse("http://a/?next=b,http://c").expect("a URL");
        assert_eq!(address.url().as_str(), "http://a/?next=b,http://c");
        let address = Address::parse("nats://u:p@a:1,nats://[::1]:2,c/x?y").expect("a URL");
        assert_eq!((address.to_string().as_str(), address.user()), ("nats://a:1,[::1]:2,c/x", Some("u")));
        assert_eq!(Address::parse("http://:80").expect_err("no host"), "not a URL: empty host");
        let port = not_a_url(url::ParseError::InvalidPort);
        for (wrong, why) in [
            ("nats://a,,b", "a URL with an empty place in its list of hosts"),
            ("nats://a,", "a URL with an empty place in its list of hosts"),
            ("nats://u:p@a,nats://v:q@b", SEVERAL_USERS),
            ("nats://a,nats://v:q@b", SEVERAL_USERS),
            ("nats://u:p@a,v:q@b", SEVERAL_USERS),
            ("nats://a:1,b:x", port.as_str()),
        ] {
            assert_eq!(Address::parse(wrong).err().as_deref(), Some(why), "{wrong}");
        }
        let many = Address::parse(&format!("nats://{}", ["a"; 17].join(","))).expect("a URL");
        assert_eq!(many.endpoints(1), Err("the URL names more than 16 hosts".into()));
        assert_eq!(many.one_host("no"), Err("the URL names several hosts: no".into()));
    }

    #[test]
    fn a_service_has_one_name_and_no_port() {
        let named = |url: &str| Address::parse(url).expect("a URL").service_host().map(str::to_owned);
        assert_eq!(named("x+srv://u:p@db.example.com/y"), Ok("db.example.com".into()));
        for (wrong, why) in [
            ("x+srv://a.b.c,d.b.c", "the URL names several hosts: there is one name, and its hosts are looked up"),
            ("x+srv://a.b.c:1", "the URL names a port: it is looked up together with the hosts"),
            ("x+srv://127.0.0.1", "the URL names an address: hosts are looked up by a name"),
            ("x+srv://[::1]", "the URL names an address: hosts are looked up by a name"),
            ("x+srv:///y", "the URL names no host"),
        ] {
            assert_eq!(named(wrong), Err(why.into()), "{wrong}");
        }
    }

    #[test]
    fn a_password_leaves_the_url() {
        let address = Address::parse("postgres://pro%62e:s%40cret@db:6432/orders?a=1").expect("a URL");
        assert_eq!(address.user(), Some("probe"));
        assert_eq!(*address.password().expect("one").read().expect("at hand"), "s@cret");
        assert_eq!(format!("{address} {address:?}"), "postgres://db:6432/orders postgres://db:6432/orders");
        assert_eq!(places("postgres://db:6432/orders"), ["db:6432"]);
        assert_eq!(address.path().as_deref(), Some("orders"));
    }

    /// Every way in which a password that is not encoded breaks its URL.
    #[test]
    fn no_piece_of_a_url_is_quoted() {
        const SECRET: &str = "Super?SecretTail";
        for sign in ["/", "?", "#", "%", "%zz", "@/", ":/", "\\", " /", "\t", "\n", "?x=", "/?&", "%2"] {
            for form in
                ["postgres://user:§@host/db", "http://user:§@host:80/db", "nats://a,b:§@c", "§", "postgres://§", "u/§@//h:1/s"]
            {
                let url = form.replace('§', &format!("Secret{sign}Tail"));
                let Err(why) = Address::parse(&url) else { continue };
                assert!(!why.contains("Secret") && !why.contains("Tail"), "{url:?}: {why}");
            }
        }
        for (url, why) in [
            (
                "postgres://user:1/2@host/db",
                "a URL with an `@` behind its host: encode the password, or use `password = { env = … }`; elsewhere `@` is written %40",
            ),
            (
                "postgres://user:pa#ss@host/db",
                "a URL with an `@` behind its host: encode the password, or use `password = { env = … }`; elsewhere `@` is written %40",
            ),
            (
                "postgres://host/db#x",
                "a URL with a `#` in it, and no fragment is used: encode the password, or use `password = { env = … }`; elsewhere `#` is written %23",
            ),
            (
                "postgres://u:a%b@host",
                "a URL whose user or password has a `%` that encodes nothing: encode the password, or use `password = { env = … }`",
            ),
            (
                "postgres://u:a\tb@host",
                "a URL with a control character in it: encode the password, or use `password = { env = … }`",
            ),
            ("user:secret@host", "not a URL: it begins with a scheme and `://`"),
        ] {
            assert_eq!(Address::parse(url).expect_err(SECRET), why, "{url:?}");
        }
        assert_eq!(places(" postgres://db:6432/orders\n"), ["db:6432"]);
    }

    #[test]
    fn a_parameter_is_named_only_if_it_is_a_word_that_was_typed() {
        let expect =
            |url: &str, known: &[&str]| Address::parse(url).expect("a URL").expect(&["x"], known).expect_err("a stranger");
        assert_eq!(
            expect("x://h?sslmode=1&Zq7SENTINELx9", &["sslmode"]),
            "unknown URL parameter 2 (its name is not shown); known are sslmode"
        );
        assert_eq!(expect("x://h?Zq7SENTINELx9=1", &[]), "the URL takes no parameters, but has parameter 1");
        assert_eq!(expect("x://h?colour=1", &[]), "the URL takes no parameters, but has `colour`");
        let expanded: Address = serde_json::from_value(serde_json::json!({ "expanded": "x://h?sslmod=1" })).expect("a URL");
        assert_eq!(
            expanded.expect(&["x"], &["sslmode"]).expect_err("a stranger"),
            "unknown URL parameter 1 (its name is not shown); known are sslmode"
        );
        assert_eq!(expanded.expect(&["y"], &[]).expect_err("a stranger"), "unknown URL scheme; known are y");
        assert_eq!(expanded.mistaken("sslmode", "requir", &["require"]), "unknown sslmode; known are require");
    }

    #[test]
    fn strange_schemes_and_parameters_are_refused_with_a_suggestion() {
        let address = Address::parse("postgre://db/x?sslmod=require").expect("a URL");
        assert_eq!(
            address.expect(&["postgres", "postgresql"], &[]),
            Err("unknown URL scheme `postgre`; did you mean `postgres`?".into())
        );
        assert_eq!(
            address.expect(&["postgre"], &["sslmode"]),
            Err("unknown URL parameter `sslmod`; did you mean `sslmode`?".into())
        );
    }
}

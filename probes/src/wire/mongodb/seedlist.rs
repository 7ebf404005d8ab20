//! The hosts and settings that the DNS has for a name: `mongodb+srv://`.
//! Rules: <https://github.com/mongodb/specifications/blob/master/source/initial-dns-seedlist-discovery/initial-dns-seedlist-discovery.md>.

use hickory_resolver::proto::rr::Name;
use url::form_urlencoded;

use crate::{
    address::{Address, Endpoint, MOST_PLACES},
    failure::{Failure, FailureKind},
    plain::mistaken,
    run::Run,
    wire::resolve::without_dot,
};

/// An underscore goes before it, and a label has 63 letters.
const LONGEST_SERVICE: usize = 62;

/// What a URL may say, and a TXT record where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The database in which the user was made.
    pub(crate) source: Option<String>,
    /// The name of the replica set.
    pub(crate) set_name: Option<String>,
    /// Whether a load balancer stands before the servers, and wants to be told that this is known.
    pub(crate) load_balanced: Option<bool>,
}

impl Settings {
    const NAMES: [&str; 3] = ["authSource", "replicaSet", "loadBalanced"];

    /// The last of each name counts; others are none of these.
    pub(crate) fn of(parameters: impl Iterator<Item = (String, String)>) -> Result<Self, String> {
        let mut settings = Self::default();
        for (name, value) in parameters {
            match name.as_str() {
                "authSource" => settings.source = Some(value),
                "replicaSet" => settings.set_name = Some(value),
                "loadBalanced" if ["true", "false"].contains(&value.as_str()) => settings.load_balanced = Some(value == "true"),
                "loadBalanced" => return Err("`loadBalanced` is `true` or `false`".into()),
                _ => {}
            }
        }
        Ok(settings)
    }

    /// A TXT record: nothing but these, in whatever case.
    fn told(text: &str) -> Result<Self, String> {
        let known = |(name, value): (String, String)| {
            let known = Self::NAMES.into_iter().find(|known| known.eq_ignore_ascii_case(&name));
            match known {
                Some(known) if value.is_empty() => Err(format!("`{known}` has no value")),
                Some(known) => Ok((known.to_owned(), value)),
                None => Err(mistaken("option", &name, &Self::NAMES)),
            }
        };
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned().map(known).collect::<Result<Vec<_>, _>>()?;
        Self::of(pairs.into_iter())
    }

    /// What these leave open is as others say.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            source: self.source.or(others.source),
            set_name: self.set_name.or(others.set_name),
            load_balanced: self.load_balanced.or(others.load_balanced),
        }
    }

    /// Behind a load balancer nobody knows who answers.
    pub(crate) fn check(&self, hosts: usize) -> Result<(), &'static str> {
        match (self.load_balanced, &self.set_name) {
            (Some(true), Some(_)) => Err("`loadBalanced=true` contradicts `replicaSet`"),
            (Some(true), None) if hosts > 1 => Err("`loadBalanced=true` goes with one host only"),
            _ => Ok(()),
        }
    }
}

/// A name that stands for hosts.
#[derive(Clone)]
pub(crate) struct Seedlist {
    host: Name,
    service: Name,
}

/// What the DNS has for it.
pub(crate) struct Found {
    /// At least one, in the order of their names, so that it is always the same one that is asked first.
    pub(crate) hosts: Vec<Endpoint>,
    pub(crate) settings: Settings,
}

impl Seedlist {
    /// The name in a URL, if that has such a scheme.
    pub(crate) fn of(url: &Address) -> Result<Option<Self>, String> {
        if url.parameter("srvMaxHosts").is_some() {
            return Err("`srvMaxHosts` is not what Probity does: it asks the hosts in their order until one opens".into());
        }
        let service = url.parameter("srvServiceName");
        if url.scheme() != "mongodb+srv" {
            return service.map_or(Ok(None), |_| Err("`srvServiceName` goes with `mongodb+srv://` only".into()));
        }
        let service = service.as_deref().unwrap_or("mongodb");
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if !(1..=LONGEST_SERVICE).contains(&service.len()) || !service.chars().all(is_letter) {
            return Err(format!("`srvServiceName` is a word of at most {LONGEST_SERVICE} letters, digits and hyphens"));
        }
        if url.parameter("directConnection").as_deref() == Some("true") {
            return Err("`directConnection=true` needs a host, and those of this URL are looked up".into());
        }
        let host = url.service_host()?.trim_end_matches('.');
        let name = |name: String| Name::from_ascii(name).map_err(|_| "the host is not a name that can be looked up".to_owned());
        Ok(Some(Self { host: name(format!("{host}."))?, service: name(format!("_{service}._tcp.{host}."))? }))
    }

    /// Asks for its hosts, and for the settings beside them.
    pub(crate) async fn find(&self, run: &mut Run) -> Result<Found, Failure> {
        let (services, texts) = run.services(&self.service, &self.host).await?;
        run.fact("srv_hosts", services.len());
        Ok(Found { hosts: self.hosts(services)?, settings: self.settings(&texts)? })
    }

    /// They share the domain of the name, and are not that itself, so that whoever answers for it leads nobody away.
    fn hosts(&self, services: Vec<(Name, u16)>) -> Result<Vec<Endpoint>, Failure> {
        let domain = if self.host.num_labels() < 3 { self.host.clone() } else { self.host.base_name() };
        let is_foreign = |name: &Name| !domain.zone_of(name) || name.num_labels() <= domain.num_labels();
        if let Some((foreign, _)) = services.iter().find(|(name, _)| is_foreign(name)) {
            let [service, foreign, domain] = [&self.service, foreign, &domain].map(without_dot);
            let message = format!("the SRV record of {service} names a host that is not of {domain}");
            return Err(Failure::new(FailureKind::Dns, message).with_code("foreign_host").with_words(foreign).with_remedy(
                "Correct the SRV record, or the name in the URL; if both are right, somebody else answers for the zone.",
            ));
        }
        let mut hosts: Vec<_> = services.into_iter().map(|(name, port)| (without_dot(&name.to_lowercase()), port)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts.truncate(MOST_PLACES);
        Ok(hosts.into_iter().map(|(host, port)| Endpoint::Tcp { host, port }).collect())
    }

    fn settings(&self, texts: &[String]) -> Result<Settings, Failure> {
        let settings = match texts {
            [] => Ok(Settings::default()),
            [text] => Settings::told(text),
            _ => Err("there is more than one".into()),
        };
        settings.map_err(|why| self.unusable(&why))
    }

    /// What the records say together with the URL cannot be followed.
    pub(crate) fn unusable(&self, why: &str) -> Failure {
        let message = format!("the TXT record of {} cannot be used: {why}", without_dot(&self.host));
        Failure::new(FailureKind::Dns, message).with_code("txt").with_remedy("Correct the TXT record.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seedlist(host: &str) -> Seedlist {
        let url = Address::parse(&format!("mongodb+srv://{host}/")).expect("a URL");
        Seedlist::of(&url).expect("a name").expect("the scheme")
    }

    fn hosts(host: &str, found: &[&str]) -> Result<Vec<String>, String> {
        let services = found.iter().map(|name| (Name::from_ascii(name).expect("a name"), 27017)).collect();
        let hosts = seedlist(host).hosts(services).map_err(|failure| failure.message)?;
        Ok(hosts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn mistakes_of_a_url_are_told() {
        for (wrong, why) in [
            ("mongodb+srv://a.b.c:27017/", "the URL names a port: it is looked up together with the hosts"),
            ("mongodb+srv://a..c/", "the host is not a name that can be looked up"),
            (
                "mongodb+srv://a.b.c/?directConnection=true",
                "`directConnection=true` needs a host, and those of this URL are looked up",
            ),
            ("mongodb+srv://a.b.c/?srvServiceName=a.b", "`srvServiceName` is a word of at most 62 letters, digits and hyphens"),
            ("mongodb://a.b.c/?srvServiceName=mongo", "`srvServiceName` goes with `mongodb+srv://` only"),
            (
                "mongodb+srv://a.b.c/?srvMaxHosts=2",
                "`srvMaxHosts` is not what Probity does: it asks the hosts in their order until one opens",
            ),
        ] {
            let url = Address::parse(wrong).expect("a URL");
            assert_eq!(Seedlist::of(&url).err().as_deref(), Some(why), "{wrong}");
        }
        let other = Address::parse("mongodb+srv://db.example.com/?srvServiceName=mongo-x").expect("a URL");
        let other = Seedlist::of(&other).expect("a name").expect("the scheme");
        assert_eq!(other.service.to_ascii(), "_mongo-x._tcp.db.example.com.");
    }

    #[test]
    fn hosts_share_the_domain_of_the_name() {
        let found = hosts("db.Example.com.", &["b.example.COM.", "a.x.example.com.", "db.example.com.", "b.example.com."]);
        assert_eq!(found.as_deref(), Ok(&["a.x", "b", "db"].map(|host| format!("{host}.example.com:27017"))[..]));
        for (host, own, foreign) in [
            ("db.example.com", "a.example.com.", "a.example.net."),
            ("db.example.com", "a.example.com.", "a.badexample.com."),
            ("db.example.com", "a.example.com.", "example.com."),
            ("example.com", "a.example.com.", "a.com."),
            ("example.com", "a.example.com.", "example.com."),
            ("db", "a.db.", "db."),
        ] {
            assert!(hosts(host, &[own]).is_ok(), "{host}");
            assert!(
                hosts(host, &[own, foreign]).is_err_and(|why| why.contains("names a host that is not of")),
                "{host} {foreign}"
            );
        }
        let many: Vec<_> = (0..99).map(|number| format!("h{number}.example.com.")).collect();
        let many = hosts("db.example.com", &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(many.map(|hosts| hosts.len()), Ok(MOST_PLACES));
    }

    #[test]
    fn a_text_has_three_options_and_no_other() {
        let (source, set_name) = (Some("admin".to_owned()), Some("rs 0".to_owned()));
        let told = Settings { source, set_name, load_balanced: Some(false) };
        assert_eq!(Settings::told("authSource=admin&replicaset=rs%200&loadBalanced=false"), Ok(told.clone()));
        assert_eq!(Settings::told(""), Ok(Settings::default()));
        let of_url = Settings { source: Some("app".into()), ..Settings::default() };
        assert_eq!(of_url.or(told.clone()), Settings { source: Some("app".into()), ..told });
        for (wrong, why) in [
            ("tls=false", "unknown option; known are authSource, replicaSet, loadBalanced"),
            ("replicaSet", "`replicaSet` has no value"),
            ("loadBalanced=yes", "`loadBalanced` is `true` or `false`"),
        ] {
            assert_eq!(Settings::told(wrong), Err(why.into()), "{wrong}");
        }
        let twice = seedlist("db.example.com").settings(&[String::new(), String::new()]).expect_err("two of them");
        assert_eq!(twice.message, "the TXT record of db.example.com cannot be used: there is more than one");
    }
}

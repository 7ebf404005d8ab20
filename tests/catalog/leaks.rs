//! No mistake of a catalog shows a secret, wherever it was put; and each mistake can still be found.

use std::path::Path;

use probity::catalog::load_with;

use super::{Catalog, mistakes_in, sentences_in};

const SECRET: &str = "Zq7SENTINELx9";

/// Four characters of it say something.
fn shows(shown: &str) -> bool {
    ["Zq7S", "q7SE", "SENT", "ENTI", "NTIN", "TINE", "INEL", "NELx", "ELx9"].iter().any(|piece| shown.contains(piece))
}

#[track_caller]
fn shows_nothing(what: &str, shown: &str) {
    assert!(!shows(shown), "{what}\n{shown}");
}

/// Secrets in the place of anything, and slips that make something else of them.
const CATALOGS: &[&str] = &[
    "[dependencies.db]\nbackend = \"postgres://u:§@h/db\"",
    "[dependencies.db]\nbackend = \"§\"",
    "[dependencies.db]\nbackend = [\"§\"]",
    "[dependencies.\"postgres://u:§@h/db\"]\nbackend = \"postgres\"\nurl = \"postgres://h\"",
    "[dependencies.\"postgres://u:§@h/db\"]\nurl = \"postgres://h\"",
    "[dependencies]\n\"postgres://u:§@h/db\" = 1",
    "[dependencies]\ndb = \"§\"",
    "[dependencies.§]\nbackend = \"redis\"\nurl = \"redis://h\"\n[dependencies.§]\nbackend = \"redis\"",
    "[dependencies.db]\nbackend = \"\"\"postgres\"\nurl = \"postgres://u:§@h/db\"\npassword = \"§\"\n[dependencies.e]\ndescription = \"\"\"\nbackend = \"redis\"",
    "[dependencies.db]\nbackend = \"redis\"\ncriticality = \"\"\"required\"\npassword = \"§\"\n\"\"\"\nurl = \"redis://h\"",
    "[dependencies.db]\nbackend = \"redis\"\ninterval = \"\"\"1s\"\npassword = \"§\"\n\"\"\"\nurl = \"redis://h\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"\"\"redis://h\"\npassword = \"§\"\n\"\"\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = '''redis://h\npassword = \"§\"\n",
    "[dependencies.db]\nbackend = \"nats\"\nurl = \"nats//§@h\"",
    "[dependencies.db]\nbackend = \"nats\"\nurl = \"nats:§@h\"",
    "[dependencies.db]\nbackend = \"nats\"\nurl = \"§\"",
    "[dependencies.db]\nbackend = \"nats\"\nurl = \"§://h\"",
    "[dependencies.db]\nbackend = \"nats\"\nurl = \"§:h\"",
    "[dependencies.db]\nbackend = \"http\"\nurl = \"http://h/x?sig=§&X-Amz-Signature=§&key=§\"\nurl2 = 1",
    "[dependencies.db]\nbackend = \"http\"\nurl = \"http://h/x?X-Goog-Signature=§\"",
    "[dependencies.db]\nbackend = \"postgres\"\nurl = \"postgres://h/x?§=1\"",
    "[dependencies.db]\nbackend = \"postgres\"\nurl = \"postgres://h/x?sslmode=§\"",
    "[dependencies.db]\nbackend = \"postgres\"\nurl = \"postgres://u:a?§@h/db\"",
    "[dependencies.db]\nbackend = \"postgres\"\nurl = \"postgres://u:a/§@h/db\"",
    "[dependencies.db]\nbackend = \"postgres\"\nurl = \"postgres://u:a#§@h/db\"",
    "[dependencies.db]\nbackend = \"postgres\"\nurl = \"postgres://u:§\"",
    "[dependencies.db]\nbackend = \"oracle\"\nurl = \"u/§@//h:1521/svc\"",
    "[dependencies.db]\nbackend = \"oracle\"\nurl = \"oracle:u/§@//h:1521/svc\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = [\"redis://u:§@h\"]",
    "[dependencies.db]\nbackend = \"redis\"\nurl = { a = \"§\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\n\"§\" = 1",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\n§ = 1",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\n§.x = 1",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\n§ = 1\n§ = 2",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nexpect.§ = 1",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nexpect = { \"§\" = 1 }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nlabels = { \"§ x\" = \"y\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nlabels = { \"u:§@h\" = 1 }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ncriticality = \"§\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nconnection = [\"§\"]",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ninterval = \"§\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ninterval = \"1§\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nfall = \"§\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ntls = \"§\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ntls = { ca = \"§\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ntls = { server_name = \"§ x\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nowner = \"${§}\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://${§}\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nowner = \"${§\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nowner = [\"§\"]",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = { env = \"§\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = { env = \"s3cr3t-§\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = { file = \"§\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = { fil = \"§\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = { § = \"x\" }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = { file = [\"§\"] }",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = \"${NONE:-§}\"",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = correct § battery",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = 'a\n§'",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\" # §\ninterval = 3 # §",
    "[dependencies.db]\r\nbackend = \"redis\"\r\npasswrd = \"§\"\r\nurl = \"redis://u:§@h\"\r\n",
    "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npasswrd = \"\"\"\n§\n\"\"\"",
    "[dependencies.db]\nbackend = \"kafka\"\nurl = \"kafka://h\"\ntopics = [\"u:§ x\"]",
    "[dependencies.db]\nbackend = \"rabbitmq\"\nurl = \"amqp://h\"\nmanagement = \"u:§@h\"",
    "[dependencies.db]\nbackend = \"http\"\nurl = \"http://h\"\nheaders = { \"u:§@h\" = \"x\" }",
    "[dependencies.db]\nbackend = \"http\"\nurl = \"http://h\"\nexpect = { regex = \"(§\" }",
    "[dependencies.db]\nbackend = \"mongodb\"\nurl = \"mongodb://h/x?authMechanism=§\"",
    "[dependencies.db]\nbackend = \"mongodb\"\nurl = \"mongodb://h/x\"\nquery = '{ \"§\": \"x\" }'",
    "[agent]\nlisten = \"§\"",
    "[agent]\nlisten = \"u:§@h:1\"",
    "[agent]\nid = \"§",
    "[agent]\n§",
    "[agent]\nreadiness = \"§\"",
    "[agent]\nreadiness = §",
    "[§]\nx = 1",
    "[\"postgres://u:§@h/db\"]\nx = 1",
    "[dependencies.postgres://u:§@h/db]\nbackend = \"redis\"",
    "[dependencies.my §]\nbackend = \"redis\"",
    "§ = 1",
    "dependencies = \"§\"",
    "[defaults]\ninterval = \"§\"\ncriticality = \"§\"",
    "url = \"postgres://u:§@h/db\"",
    "- password: §",
    "{ \"password\": \"§\" }",
    "password=§",
];

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let mut leaks = Vec::new();
    for catalog in CATALOGS {
        let text = catalog.replace('§', SECRET);
        let shown = mistakes_in(&text);
        assert_ne!(shown, "nothing", "{text}");
        if shows(&shown) {
            leaks.push(format!("{text}\n{shown}"));
        }
    }
    assert!(leaks.is_empty(), "{} leaks\n{}", leaks.len(), leaks.join("\n\n"));
}

#[test]
fn every_key_that_resembles_a_password_is_named_and_its_value_is_not() {
    let names = [
        "passwrd", "pass", "pw", "pwd", "key", "auth", "cred", "k", "ten", "tok", "userpass", "secret", "apikey", "bearer",
        "cookie",
    ];
    let keys: String = names.map(|name| format!("{name} = \"{SECRET}\"\n")).concat();
    let text = format!("[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\n{keys}");
    shows_nothing(&text, &mistakes_in(&text));
    assert_eq!(sentences_in(&text), names.map(|name| format!("unknown key `{name}`")));
}

/// What is masked must not hide the mistake.
#[test]
#[cfg(all(feature = "redis", feature = "postgres"))]
fn what_is_no_secret_is_shown() {
    for (catalog, shown) in [
        ("[dependencies.my db]\nbackend = \"redis\"\nurl = \"redis://h\"", "[dependencies.my db]"),
        (
            "[dependencies.db]\nbackend = \"postgers\"\nurl = \"postgres://h\"",
            "unknown backend `postgers`; did you mean `postgres`?",
        ),
        ("[dependencies.db]\nbackend = \"postgers\"\nurl = \"postgres://h\"", "backend = \"postgers\""),
        ("[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npasswrd = \"x\"", "passwrd = \"*\""),
        ("[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ncriticality = \"requird\"", "criticality = \"requird\""),
        (
            "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ninterval = \"10 second\"\ntimeout = 4711",
            "timeout = 4711",
        ),
        ("[dependencies.db]\nbackend = \"redis\"\nurl = \"redis:/cache\"", "url = \"redis:/cache\""),
        (
            "[dependencies.db]\nbackend = \"postgres\"\nurl = \"postgres://h/db?sslmod=disable\"",
            "unknown URL parameter `sslmod`; did you mean `sslmode`?",
        ),
        (
            "[dependencies.db]\nbackend = \"postgres\"\nurl = \"postgres://h/db?sslmod=disable\"",
            "url = \"postgres://h/db?sslmod=disable\"",
        ),
        ("[dependencies.Orders DB]\nbackend = \"redis\"", "[dependencies.Orders DB]"),
        (
            "[dependencies.\"Orders DB\"]\nbackend = \"redis\"\nurl = \"redis://h\"",
            "`Orders DB` cannot be the name of a dependency",
        ),
        (
            "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\nowner = \"${OWNER}\"",
            "the environment variable OWNER is not set",
        ),
        (
            "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = { env = \"DB_PW\" }",
            "the environment variable DB_PW of `password` is not set",
        ),
        (
            "[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\npassword = { file = \"/run/none\" }",
            "the secret file /run/none cannot be read",
        ),
        ("[dependencies.db]\nbackend = \"redis\"\nurl = \"redis://h\"\ninterval = 10s", "interval = 10s"),
    ] {
        let text = mistakes_in(catalog);
        assert!(text.contains(shown), "{shown} is not in\n{text}");
    }
}

/// Passwords with every sign that means something in a URL, typed into a variable as they are, for every backend.
#[test]
fn a_password_from_a_variable_works_or_is_refused_and_is_never_shown() {
    // Where each backend is, without a user.
    let places: Vec<_> = probity_probes::registry()
        .iter()
        .filter_map(|row| {
            let line = row.entry?.example.lines().find(|line| line.starts_with("url = "))?;
            let (scheme, rest) = line.trim_start_matches("url = ").trim_matches('"').split_once("://")?;
            let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
            Some((row.entry?.example, line, scheme, rest))
        })
        .collect();
    assert_eq!(places.len(), probity_probes::registry().iter().filter(|row| row.entry.is_some()).count());
    for sign in ["?", "/", "#", "%", "@", ":", " ", "\"'", "ß", "%zz", "&", "\\", "?x=", "#/@:", "\n", "%41", "%41?"] {
        let password = format!("Zq7S{sign}NELx9");
        for template in ["SCHEME://probe:${PW}@REST", "${URL}", "SCHEME://${PW}:1/x", "SCHEME://h/${PW}?${PW}=${PW}"] {
            let entry = |(number, (example, line, scheme, rest)): (usize, &(&str, &str, &str, &str))| {
                let url = template.replace("SCHEME", scheme).replace("REST", rest).replace("URL", &format!("URL{number}"));
                format!("[dependencies.x{number}]\n{}\n", example.replace(line, &format!("url = \"{url}\"")))
            };
            let text: String = places.iter().enumerate().map(entry).collect();
            let environment = |name: &str| match name.strip_prefix("URL") {
                Some(number) => {
                    let (.., scheme, rest) = places.get(number.parse::<usize>().ok()?)?;
                    Some(format!("{scheme}://probe:{password}@{rest}"))
                }
                None => (name == "PW").then(|| password.clone()),
            };
            let catalog = Catalog::of(&[("c.toml", &text)]);
            let (is_taken, shown) = match load_with(&catalog.path("c.toml"), &environment) {
                Ok(plan) => (true, plan.dependencies.iter().map(|dependency| dependency.resolved.to_string()).collect()),
                Err(mistakes) => (false, mistakes.to_string()),
            };
            assert!(!shown.contains("Zq7S") && !shown.contains("NELx9"), "{template} with {password:?}: {shown}");
            // What is encoded for its place can be no mistake, but for a value that is encoded in part.
            let works = template.contains("probe:${PW}") && sign != "%41?";
            assert!(is_taken || !works, "{template} with {password:?}: {shown}");
        }
    }
}

/// The inputs that are kept beside the issue, as files.
#[test]
fn a_folder_of_catalogs_shows_nothing_either() {
    let files: Vec<_> =
        CATALOGS.iter().enumerate().map(|(n, text)| (format!("{n:02}.toml"), text.replace('§', SECRET))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let catalog = Catalog::of(&files);
    shows_nothing("all of them", &catalog.mistakes_at(Path::new(&catalog.folder.path())));
}

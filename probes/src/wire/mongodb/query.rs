//! Own questions as commands of the server, and what their answers hold.

use mongodb::bson::{Bson, Document, doc};

use super::Lenient;
use crate::{backend::ConfigError, plain::mistaken, question::Question};

/// An own question as commands of the server.
#[derive(Clone)]
pub(crate) struct Query {
    pub(crate) question: Question,
    pub(crate) database: String,
    /// What is read: a count, or one document.
    pub(crate) read: Document,
    /// What is counted beside it, where the documents are.
    pub(crate) count: Option<Document>,
}

impl Query {
    pub(crate) fn of(question: Question, database: Option<&str>) -> Result<Self, ConfigError> {
        let wrong = |message: String| ConfigError::new("query", message);
        let database =
            database.ok_or_else(|| wrong("the question needs a database: `mongodb://host/database`".into()))?.to_owned();
        let text = question.text().trim();
        let mut read: Document = if text.starts_with('{') {
            serde_json::from_str(text).map_err(|error| {
                wrong(format!("this is not a command in JSON (line {}, column {})", error.line(), error.column()))
            })?
        } else {
            doc! { "count": text }
        };
        let (command, collection) = match read.iter().next() {
            Some((command, Bson::String(collection))) => (command.clone(), collection.clone()),
            _ => return Err(wrong(r#"a command begins with its name and its collection: `{ "find": "orders" }`"#.into())),
        };
        // From one too many on it does not matter how many there are; a single one is seen by reading it.
        let enough = i64::try_from(question.enough_rows()).unwrap_or(i64::MAX);
        let mut count = None;
        match command.as_str() {
            "count" => {}
            "find" => {
                let limit = read.count("limit").filter(|limit| *limit > 0).map_or(enough, |limit| limit.min(enough));
                let same = [("filter", "query"), ("skip", "skip"), ("hint", "hint"), ("collation", "collation")];
                let same = same.into_iter().filter_map(|(key, name)| Some((name.to_owned(), read.get(key)?.clone())));
                let mut counted = doc! { "count": collection, "limit": limit };
                counted.extend(same);
                count = (enough > 1).then_some(counted);
                read.extend(doc! { "limit": 1, "singleBatch": true });
            }
            "aggregate" => {
                let stages = read.get_array("pipeline").cloned().unwrap_or_default();
                let writes = |stage: &Bson| {
                    stage.as_document().is_some_and(|stage| ["$out", "$merge"].iter().any(|key| stage.contains_key(key)))
                };
                if stages.iter().any(writes) {
                    return Err(wrong("the question must not write: `$out` and `$merge` do".into()));
                }
                let with = |more: Vec<Bson>| {
                    let mut command = read.clone();
                    let pipeline = [stages.clone(), more].concat();
                    command.extend(doc! { "pipeline": pipeline, "cursor": {} });
                    command
                };
                let counting = vec![doc! { "$limit": enough }.into(), doc! { "$count": "n" }.into()];
                count = (enough > 1).then(|| with(counting));
                read = with(vec![doc! { "$limit": 1 }.into()]);
            }
            other => return Err(wrong(mistaken("command", other, &["find", "count", "aggregate"]))),
        }
        Ok(Self { question, database, read, count })
    }
}

/// The first document of a cursor.
pub(crate) fn first_document(answer: &Document) -> Option<Document> {
    answer.get_document("cursor").ok()?.get_array("firstBatch").ok()?.first()?.as_document().cloned()
}

/// The number in the answer to `count`, or to an aggregation that ends in `$count`, where no document stands for none.
pub(crate) fn counted(answer: &Document) -> u64 {
    let n = answer.count("n").or_else(|| first_document(answer)?.count("n"));
    n.and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

/// The first field that is not `_id`, or that, as text.
pub(crate) fn first_value(document: &Document) -> Option<String> {
    let value = document.iter().find(|(key, _)| *key != "_id").map(|(_, value)| value).or_else(|| document.get("_id"))?;
    match value {
        Bson::Null => None,
        Bson::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

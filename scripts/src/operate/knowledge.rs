//! What a tenant's agents know: documents put in, listed and removed (C5).

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use boot::Environment;
use clap::Subcommand;
use domain::{TenantId, Timestamp};
use serde_json::json;
use store::knowledge::{self, NewDocument};
use uuid::Uuid;

use super::{Sight, tenants};
use crate::ended::{AskedWrongly, Ended};
use crate::print;

/// Documents read with one question to the database.
const PAGE: i64 = 200;

/// What may be done about documents.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Put a document in place of the one with its id, or add it. Agents find it at once by its words, and within
    /// seconds by what it is about where SB_EMBEDDINGS names an endpoint.
    Put {
        /// The text: a file, or `-` for the standard input. Paragraphs are separated by empty lines.
        file: PathBuf,
        /// Whose it is, by name or id.
        #[arg(long)]
        tenant: String,
        /// Its title.
        #[arg(long)]
        title: String,
        /// Where it comes from, as answers name it [default: the title].
        #[arg(long)]
        source: Option<String>,
        /// Its id [default: made from the title, so that the same title replaces it].
        #[arg(long)]
        id: Option<Uuid>,
        /// Who does it, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
    },
    /// Show the documents, and whether each is embedded. Ends with 3 when there is none.
    List {
        /// Only of this tenant, by name or id.
        #[arg(long)]
        tenant: Option<String>,
        /// Print JSON, also on a terminal.
        #[arg(long)]
        json: bool,
    },
    /// Remove a document. Ends with 3 when there is none of this id.
    Remove {
        /// Its id.
        id: Uuid,
        /// Whose it is, by name or id.
        #[arg(long)]
        tenant: String,
        /// Who does it, for the record [default: $USER].
        #[arg(long = "as")]
        actor: Option<String>,
    },
}

pub(super) async fn run(command: Command, environment: &Environment) -> anyhow::Result<Ended> {
    match command {
        Command::Put { file, tenant, title, source, id, actor } => {
            if title.trim().is_empty() {
                return Err(AskedWrongly("--title: must not be empty".to_owned()).into());
            }
            let text = read(&file)?;
            ensure!(!text.trim().is_empty(), "{}: there is no text in it", file.display());
            let actor = named(actor, environment)?;
            let sight = Sight::open(environment).await?;
            let tenant = tenants::one(&sight.store, &tenant).await?;
            let id = id.unwrap_or_else(|| Uuid::new_v5(tenant.as_uuid(), title.as_bytes()));
            let source = source.as_deref().unwrap_or(&title);
            let document = NewDocument { id, title: &title, source, text: &text, file: None };
            put(&sight, tenant, document, &actor).await
        }
        Command::List { tenant, json } => {
            list(&Sight::open(environment).await?, tenant.as_deref(), json).await
        }
        Command::Remove { id, tenant, actor } => {
            let actor = named(actor, environment)?;
            let sight = Sight::open(environment).await?;
            let tenant = tenants::one(&sight.store, &tenant).await?;
            remove(&sight, tenant, id, &actor).await
        }
    }
}

async fn put(
    sight: &Sight,
    tenant: TenantId,
    document: NewDocument<'_>,
    actor: &str,
) -> anyhow::Result<Ended> {
    let tx = sight.store.tenant(tenant).await.context("enter the tenant")?;
    // A file comes by the API alone, and stays where the words change.
    let before = knowledge::get(&tx, document.id).await.context("look for the document")?;
    let file = before.and_then(|before| before.listed.file);
    let document = NewDocument { file: file.as_ref(), ..document };
    let is_changed =
        knowledge::put(&tx, &document, Timestamp::now()).await.context("put the document")?;
    if is_changed {
        let subject = document.id.to_string();
        store::audit::note(&tx, actor, "knowledge.put", &subject, &json!({}))
            .await
            .context("note who put it")?;
    }
    tx.commit().await.context("keep the document")?;
    let what = if is_changed { "put" } else { "unchanged" };
    print::say(&format!("{what} {}", document.id))?;
    Ok(Ended::Done)
}

async fn list(sight: &Sight, tenant: Option<&str>, json: bool) -> anyhow::Result<Ended> {
    let mut documents = Vec::new();
    for (tenant, slug) in tenants::meant(&sight.store, tenant).await? {
        let tx = sight.store.tenant(tenant).await.context("enter a tenant")?;
        let mut after = None;
        loop {
            let page = knowledge::list(&tx, after, PAGE).await.context("read the documents")?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            documents.extend(page.into_iter().map(|document| (slug.clone(), document)));
        }
    }
    if print::is_for_programs(json) {
        let documents: Vec<_> = documents
            .iter()
            .map(|(slug, document)| {
                json!({
                    "tenant": slug,
                    "id": document.id,
                    "title": document.title,
                    "source": document.source,
                    "pieces": document.pieces,
                    "embedded": document.embedded,
                    "updated_at": print::time(document.updated_at),
                })
            })
            .collect();
        print::json(&documents.into())?;
    } else if !documents.is_empty() {
        let now = Timestamp::now();
        let rows: Vec<_> = documents
            .iter()
            .map(|(slug, document)| {
                [
                    slug.clone(),
                    document.id.to_string(),
                    document.title.clone(),
                    document.source.clone(),
                    format!("{}/{}", document.embedded, document.pieces),
                    print::age(document.updated_at, now),
                ]
            })
            .collect();
        let header = ["TENANT", "ID", "TITLE", "SOURCE", "EMBEDDED", "AGE"];
        print::say(&print::table(header, &rows))?;
    } else {
        print::note("no documents");
    }
    Ok(if documents.is_empty() { Ended::Nothing } else { Ended::Done })
}

async fn remove(sight: &Sight, tenant: TenantId, id: Uuid, actor: &str) -> anyhow::Result<Ended> {
    let tx = sight.store.tenant(tenant).await.context("enter the tenant")?;
    if !knowledge::remove(&tx, id).await.context("remove the document")? {
        print::note(&format!("no document {id}"));
        return Ok(Ended::Nothing);
    }
    store::audit::note(&tx, actor, "knowledge.remove", &id.to_string(), &json!({}))
        .await
        .context("note who removed it")?;
    tx.commit().await.context("remove the document")?;
    print::say(&format!("removed {id}"))?;
    Ok(Ended::Done)
}

fn named(actor: Option<String>, environment: &Environment) -> anyhow::Result<String> {
    let actor = actor.or_else(|| environment.get("USER").map(str::to_owned)).unwrap_or_default();
    if actor.trim().is_empty() {
        return Err(AskedWrongly("--as: say who does it, for the record".to_owned()).into());
    }
    Ok(format!("operator:{}", actor.trim()))
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("read the standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

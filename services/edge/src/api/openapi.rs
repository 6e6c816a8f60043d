//! The description of the API, made from the code that answers it.

use std::sync::LazyLock;

use actix_web::{HttpResponse, Responder};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, HttpMethod, Ref, RefOr, Required,
        path::{Operation, ParameterBuilder, ParameterIn, PathItem},
        response::{Response, ResponseBuilder},
        schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    agents, answer, appointments, calls, conversations, dead_letters, documents, escalations,
    events, exports, files, health, keys, media, parked, replays, services, tenant, users,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Switchboard",
        version = "1",
        description = "An AI front desk for phone calls and WhatsApp. Every answer is `{status, data, error}`: `status` \
is `ok` or `error`, `error.code` is for programs. Lists are pages: send `next_cursor` as `cursor` for the next one. \
The tenant follows from the credential alone. Requests over the limit are answered 429 with `Retry-After`."
    ),
    paths(
        health::show,
        conversations::list,
        conversations::show,
        conversations::messages,
        conversations::send,
        conversations::turns,
        conversations::trace,
        files::link,
        media::hand_over,
        calls::list,
        calls::start,
        calls::end,
        calls::recording,
        calls::show,
        appointments::list,
        appointments::create,
        appointments::cancel,
        appointments::move_it,
        appointments::availability,
        appointments::show,
        services::list,
        services::resources,
        services::hours,
        escalations::list,
        escalations::show,
        escalations::claim,
        escalations::close,
        dead_letters::list,
        dead_letters::counts,
        dead_letters::show,
        dead_letters::reveal,
        dead_letters::replay,
        dead_letters::discard,
        replays::plan,
        replays::replay,
        replays::discard,
        parked::list,
        parked::park,
        parked::release,
        users::list,
        users::show,
        tenant::show,
        tenant::change,
        agents::list,
        agents::show,
        agents::put,
        agents::list_rules,
        agents::show_rule,
        agents::add_rule,
        agents::put_rule,
        agents::remove_rule,
        documents::list,
        documents::show,
        documents::put,
        documents::remove,
        exports::conversations,
        exports::appointments,
        exports::person,
        tenant::audit_log,
        keys::list,
        keys::create,
        keys::revoke,
        events::socket,
        events::create_ticket,
    ),
    components(schemas(answer::Failure, conversations::Order, exports::Format)),
    security(("bearer" = []), ("api_key" = [])),
    modifiers(&Everywhere),
)]
struct Description;

/// What holds for every operation and is said once, here.
struct Everywhere;

/// Errors of every operation but `health`.
const ERRORS: [(&str, &str); 5] = [
    ("400", "A parameter, or the body, cannot be used; `error.field` names it"),
    ("401", "Nobody knows who asks"),
    ("403", "Whoever asks may not"),
    ("429", "Over the limit of requests"),
    ("503", "Something that is needed is away; again later"),
];
const ERRORS_OF_WRITES: [(&str, &str); 4] = [
    ("409", "It does not go together with how things stand"),
    ("413", "The body is too large"),
    ("415", "The body is not JSON"),
    ("422", "The Idempotency-Key was used for another request"),
];

impl Modify for Everywhere {
    fn modify(&self, description: &mut openapi::OpenApi) {
        let components = description.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API key (`sbk_…`), or a token of your identity provider"))
            .build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
        components.add_security_scheme("api_key", SecurityScheme::ApiKey(key));
        for (path, item) in &mut description.paths.paths {
            let named = path.contains('{');
            for (method, operation) in operations(item) {
                for parameter in operation.parameters.iter_mut().flatten() {
                    if let RefOr::T(parameter) = parameter {
                        parameter.schema = parameter.schema.take().map(without_null);
                    }
                }
                if path == "/api/v1/health" {
                    add(operation, "503", "Something that is needed is away");
                    continue;
                }
                for (status, meaning) in ERRORS {
                    add(operation, status, meaning);
                }
                if named {
                    add(operation, "404", "There is no such thing, or it is another tenant's");
                }
                if method != HttpMethod::Get {
                    for (status, meaning) in ERRORS_OF_WRITES {
                        add(operation, status, meaning);
                    }
                    // Asked for again it is another one: nothing is kept for a repeat.
                    if path == "/api/v1/events/tickets" {
                        continue;
                    }
                    let key = ParameterBuilder::new()
                        .name("Idempotency-Key")
                        .parameter_in(ParameterIn::Header)
                        .required(Required::False)
                        .description(Some(
                            "The same key with the same request gets the same answer, without effect, for a day",
                        ))
                        .schema(Some(
                            ObjectBuilder::new()
                                .schema_type(SchemaType::Type(Type::String))
                                .pattern(Some("^[A-Za-z0-9._:-]{1,64}$"))
                                .build(),
                        ))
                        .build();
                    operation.parameters.get_or_insert_default().push(key.into());
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// A parameter that may be missing is not therefore null: a query has no null.
fn without_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Array(kinds) = &object.schema_type {
                let mut kinds = kinds.iter().filter(|kind| **kind != Type::Null);
                if let Some(kind) = kinds.next() {
                    object.schema_type = SchemaType::Type(kind.clone());
                }
            }
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::OneOf(one_of)) => {
            let is_null = |item: &RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(o)) if o.schema_type == SchemaType::Type(Type::Null));
            let rest = one_of.items.iter().find(|item| !is_null(item)).cloned();
            rest.unwrap_or(RefOr::T(Schema::OneOf(one_of)))
        }
        other => other,
    }
}

fn add(operation: &mut Operation, status: &str, meaning: &str) {
    let mut response = ResponseBuilder::new().description(meaning).content(
        "application/json",
        openapi::ContentBuilder::new()
            .schema(Some(RefOr::Ref(Ref::from_schema_name("Failure"))))
            .build(),
    );
    if status == "429" {
        let seconds = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::Integer))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .build();
        response = response.header("Retry-After", openapi::Header::new(seconds));
    }
    let response: RefOr<Response> = response.build().into();
    operation.responses.responses.entry(status.to_owned()).or_insert(response);
}

/// The description, as a value.
pub static DOCUMENT: LazyLock<openapi::OpenApi> = LazyLock::new(Description::openapi);

static JSON: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_json().unwrap_or_default());

/// Answers the description.
pub async fn document() -> impl Responder {
    HttpResponse::Ok().content_type("application/json").body(JSON.as_str())
}

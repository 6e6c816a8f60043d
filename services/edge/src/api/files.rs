//! Files that people sent, and that were sent to them.

use std::time::Duration;

use actix_web::HttpRequest;
use aws_sdk_s3::presigning::PresigningConfig;
use domain::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    answer::{Answer, ApiError, Reply, Success},
    caller::As,
    read::{self, Moment, moment},
    role::ReadOnly,
};

const WHAT: &str = "file";
/// How long a link to a file is good.
const LINK_LIFE: Duration = Duration::from_secs(5 * 60);

/// A link to a file.
#[derive(Serialize, ToSchema)]
pub struct FileLink {
    /// Where it is.
    #[schema(example = "https://recordings.s3.amazonaws.com/media/…")]
    pub url: String,
    /// Its media type, as the vendor gave it.
    #[schema(example = "image/jpeg")]
    pub media_type: String,
    /// Its size.
    #[schema(example = 48211)]
    pub bytes: u64,
    /// Until when the link is good.
    pub expires_at: Moment,
}

/// A link to the file of a message
///
/// Good for five minutes, for whoever has it; a browser is made to download it. 404 while the file is being fetched, and where
/// it could not be had.
#[utoipa::path(get, path = "/api/v1/messages/{id}/file", tag = "conversations",
    params(("id" = Uuid, Path)),
    responses((status = 200, description = "It", body = inline(Success<FileLink>))))]
pub async fn link(caller: As<ReadOnly>, request: HttpRequest) -> Answer<FileLink> {
    let id = read::path_id(&request, WHAT)?;
    let tx = caller.begin().await?;
    let file = store::messages::file(&tx, id).await?.ok_or_else(|| ApiError::not_found(WHAT))?;
    let expires_at = moment(Timestamp::now().plus(LINK_LIFE));
    let good_for = PresigningConfig::expires_in(LINK_LIFE).map_err(not_linked)?;
    // What a stranger sent is not to run as a page of the bucket's.
    let link = caller.api.s3.get_object().bucket(file.bucket).key(file.key);
    let link = link.response_content_disposition("attachment").presigned(good_for).await;
    let url = link.map_err(not_linked)?.uri().to_owned();
    Ok(Reply::ok(FileLink { url, media_type: file.mime_type, bytes: file.bytes, expires_at }))
}

fn not_linked(error: impl std::error::Error + 'static) -> ApiError {
    let error: &dyn std::error::Error = &error;
    tracing::error!(error, kind = "link_not_made", "link to a file not made");
    ApiError::internal()
}

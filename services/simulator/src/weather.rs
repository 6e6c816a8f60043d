//! Open-Meteo: where a place is, and its weather on a day. The same place and day always have the same.

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;

/// Mounts the paths under `/weather`.
pub fn configure(cfg: &mut web::ServiceConfig) {
    cfg.route("/v1/search", web::get().to(search)).route("/v1/forecast", web::get().to(forecast));
}

#[derive(Deserialize)]
struct Search {
    name: String,
}

#[derive(Deserialize)]
struct Forecast {
    latitude: f64,
    start_date: String,
}

/// A place whose name begins with `no` is nowhere.
async fn search(wanted: web::Query<Search>) -> HttpResponse {
    let name = wanted.name.trim();
    if name.is_empty() || name.to_lowercase().starts_with("no") {
        return HttpResponse::Ok().json(json!({}));
    }
    // Nothing but a number of its own.
    let latitude = f64::from(name.bytes().map(u32::from).sum::<u32>() % 60);
    let place = json!({"name": name, "latitude": latitude, "longitude": 0.0});
    HttpResponse::Ok().json(json!({ "results": [place] }))
}

async fn forecast(wanted: web::Query<Forecast>) -> HttpResponse {
    let day: u32 = wanted.start_date.bytes().map(u32::from).sum();
    let high = 30.0 - wanted.latitude / 2.0;
    let codes = [0, 2, 3, 61, 71];
    let code = codes[day as usize % codes.len()];
    HttpResponse::Ok().json(json!({"daily": {
        "time": [wanted.start_date],
        "weather_code": [code],
        "temperature_2m_max": [high],
        "temperature_2m_min": [high - 8.0],
    }}))
}

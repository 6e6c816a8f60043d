//! The weather, by Open-Meteo (C5): no key, two requests, one for the place and one for the day.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use dialogue_core::tool::{Outcome, Weather};
use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, de::DeserializeOwned};

use super::{Scene, appointments::moment};

const REQUEST_TIMEOUT: Duration = Duration::from_millis(1500);
/// Open-Meteo looks so far ahead.
const DAYS_AHEAD_MAX: i32 = 15;

/// Where Open-Meteo is.
#[derive(Clone, Debug)]
pub struct WeatherSettings {
    /// `SB_WEATHER_BASE_URL`: answers `/v1/forecast`.
    pub forecast_url: String,
    /// `SB_GEOCODING_BASE_URL`: answers `/v1/search`.
    pub geocoding_url: String,
}

impl WeatherSettings {
    /// Both at one address.
    #[cfg(test)]
    pub(crate) fn at(base: &str) -> Self {
        Self { forecast_url: base.to_owned(), geocoding_url: base.to_owned() }
    }
}

/// A client of Open-Meteo.
pub(crate) struct OpenMeteo {
    http: reqwest::Client,
    settings: WeatherSettings,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    results: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    name: String,
    latitude: f64,
    longitude: f64,
}

#[derive(Deserialize)]
struct Forecast {
    daily: Daily,
}

/// One entry a day; a day that is not known is null.
#[derive(Deserialize)]
struct Daily {
    weather_code: Vec<Option<u8>>,
    temperature_2m_max: Vec<Option<f64>>,
    temperature_2m_min: Vec<Option<f64>>,
}

impl OpenMeteo {
    /// A client, which asks nothing yet.
    ///
    /// # Errors
    /// When no HTTP client can be built.
    pub(crate) fn new(settings: WeatherSettings) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("build the HTTP client of the weather")?;
        Ok(Self { http, settings })
    }

    /// The forecast in words that can be spoken.
    pub(super) async fn forecast(&self, scene: &Scene<'_>, wanted: &Weather) -> Outcome {
        let zone = &scene.tenant.settings.timezone;
        let today =
            TimeZone::get(zone).unwrap_or(TimeZone::UTC).to_datetime(moment(scene.at)).date();
        let day = wanted.date.unwrap_or(today);
        let ahead = today.until(day).map_or(i32::MAX, |span| span.get_days());
        if !(0..=DAYS_AHEAD_MAX).contains(&ahead) {
            return Outcome::Refused("only the next two weeks are known".into());
        }
        // Where the business is, as far as its time zone says.
        let city = zone.rsplit('/').next().unwrap_or(zone).replace('_', " ");
        let place = wanted.place.as_deref().unwrap_or(&city);
        match self.ask(place, day).await {
            Ok(Some(words)) => Outcome::Weather(words),
            Ok(None) => Outcome::NotFound,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the weather cannot be had");
                Outcome::Unavailable
            }
        }
    }

    async fn ask(&self, place: &str, day: Date) -> anyhow::Result<Option<String>> {
        let url = format!("{}/v1/search", self.settings.geocoding_url);
        let query = [("name", place), ("count", "1"), ("format", "json")];
        let found: Found = self.get(&url, &query).await.context("find the place")?;
        let Some(place) = found.results.into_iter().next() else { return Ok(None) };
        let url = format!("{}/v1/forecast", self.settings.forecast_url);
        let (latitude, longitude) = (place.latitude.to_string(), place.longitude.to_string());
        let day = day.to_string();
        let query = [
            ("latitude", latitude.as_str()),
            ("longitude", &longitude),
            ("daily", "weather_code,temperature_2m_max,temperature_2m_min"),
            ("timezone", "auto"),
            ("start_date", &day),
            ("end_date", &day),
        ];
        let forecast: Forecast = self.get(&url, &query).await.context("ask for the forecast")?;
        let Daily { weather_code, temperature_2m_max, temperature_2m_min } = forecast.daily;
        let first = |values: &[Option<f64>]| values.first().copied().flatten();
        let (Some(high), Some(low)) = (first(&temperature_2m_max), first(&temperature_2m_min))
        else {
            return Ok(None);
        };
        let sky = weather_code.first().copied().flatten().map_or("no word on the sky", sky);
        Ok(Some(format!("{}: {sky}, between {low:.0} and {high:.0} degrees Celsius", place.name)))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        url: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<T> {
        let sent = self.http.get(url).query(query).send().await;
        // The address holds the place a person asked about.
        let response = sent.map_err(|e| anyhow!(e.without_url()))?;
        let response = response.error_for_status().map_err(|e| anyhow!(e.without_url()))?;
        response.json().await.map_err(|e| anyhow!(e.without_url()))
    }
}

/// What a WMO weather code means (Open-Meteo's table).
fn sky(code: u8) -> &'static str {
    match code {
        0 => "clear",
        1 | 2 => "partly cloudy",
        3 => "cloudy",
        45 | 48 => "fog",
        51..=57 => "drizzle",
        61..=67 | 80..=82 => "rain",
        71..=77 | 85 | 86 => "snow",
        95..=99 => "thunderstorms",
        _ => "changing weather",
    }
}

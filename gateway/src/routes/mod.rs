//! The one table of routes, and the document of it.

mod allowed;
mod observed;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use poem::endpoint::{BoxEndpoint, DynEndpoint, ToDynEndpoint};
use poem::http::Method;
use poem::{EndpointExt, IntoEndpoint, Response, Route};
use poem_openapi::registry::{MetaApi, Registry};
use poem_openapi::{LicenseObject, OpenApi, OpenApiService};

use self::allowed::Paths;
use self::observed::Observed;
use crate::api::admin::access::AccessApi;
use crate::api::admin::audit::AuditApi;
use crate::api::admin::data::DataApi;
use crate::api::admin::diagnostics::DiagnosticsApi;
use crate::api::admin::keys::KeysApi;
use crate::api::admin::models::RoutesApi;
use crate::api::admin::residency::ResidencyApi;
use crate::api::admin::roles::RolesApi;
use crate::api::admin::subjects::SubjectsApi;
use crate::api::admin::tokens::AccessTokensApi;
use crate::api::admin::usage::UsageApi;
use crate::api::chat::ChatApi;
use crate::api::completions::CompletionsApi;
use crate::api::conversations::ConversationsApi;
use crate::api::docs;
use crate::api::embeddings::EmbeddingsApi;
use crate::api::health::HealthApi;
use crate::api::jwks;
use crate::api::messages::MessagesApi;
use crate::api::models::ModelsApi;
use crate::api::payload::bound_body;
use crate::api::predict::PredictApi;
use crate::api::responses::ResponsesApi;
use crate::api::tokens::TokensApi;
use crate::api::worker;
use crate::app::App;
use crate::error::messages::Rephrase;
use crate::error::rescue::Rescue;

/// Every operation, in the order of the document.
type Operations = (
    (ChatApi, MessagesApi, ResponsesApi, ConversationsApi),
    (CompletionsApi, EmbeddingsApi, ModelsApi, TokensApi, PredictApi),
    (
        RolesApi,
        SubjectsApi,
        DataApi,
        KeysApi,
        AccessTokensApi,
        (RoutesApi, ResidencyApi),
        AuditApi,
        UsageApi,
        AccessApi,
        DiagnosticsApi,
    ),
    HealthApi,
);

fn operations(app: Arc<App>) -> Operations {
    let shared = || Arc::clone(&app);
    (
        (
            ChatApi::new(shared()),
            MessagesApi { app: shared() },
            ResponsesApi { app: shared() },
            ConversationsApi { app: shared() },
        ),
        (
            CompletionsApi::new(shared()),
            EmbeddingsApi { app: shared() },
            ModelsApi { app: shared() },
            TokensApi { app: shared() },
            PredictApi { app: shared() },
        ),
        (
            RolesApi { app: shared() },
            SubjectsApi { app: shared() },
            DataApi { app: shared() },
            KeysApi { app: shared() },
            AccessTokensApi { app: shared() },
            (RoutesApi { app: shared() }, ResidencyApi { app: shared() }),
            AuditApi { app: shared() },
            UsageApi { app: shared() },
            AccessApi { app: shared() },
            DiagnosticsApi { app: shared() },
        ),
        HealthApi { app },
    )
}

/// The whole surface: never fails, answers every request with its request id.
pub fn routes(app: Arc<App>) -> Arc<dyn DynEndpoint<Output = Response>> {
    let (access, metrics, limit) =
        (Arc::clone(&app.access), Arc::clone(&app.metrics), app.limits.max_body_bytes);
    let of_worker = app.is_worker.then(|| Arc::clone(&app));
    let service = describe(operations(app));
    let document = document();
    let page = docs::finish_page(&service.swagger_ui_html(), &service.spec(), &document);
    let routes = docs::add(Route::new().nest("/", service), document, page);
    let mut routes = jwks::add(routes, Arc::clone(&access));
    if let Some(app) = of_worker {
        routes = worker::add(routes, &app);
    }
    let bounded = routes.before(move |mut request| {
        bound_body(&mut request, limit);
        // What extractors need; operations have the app as a field.
        request.set_data(Arc::clone(&access));
        futures_util::future::ready(Ok(request))
    });
    let open = [docs::PATHS.as_slice(), &[jwks::PATH]].concat();
    let paths = Arc::new(Paths::new(&Operations::meta(), &open));
    let known = Arc::clone(&paths);
    let allowed = Box::new(move |path: &str| known.methods(path));
    let rescued = Rescue::new(bounded.into_endpoint(), allowed);
    Arc::new(ToDynEndpoint(Observed::new(Rephrase(rescued), metrics, paths)))
}

/// The finished OpenAPI document.
pub fn document() -> String {
    let unfinished = describe(Described::<Operations>(PhantomData)).spec();
    // What poem-openapi writes always parses: it is serialized from a tree.
    let value = serde_json::from_str(&unfinished).unwrap_or_default();
    let finished = openapi::document::finish(value);
    format!("{finished:#}\n")
}

fn describe<T: OpenApi>(operations: T) -> OpenApiService<T, ()> {
    OpenApiService::new(operations, "Sluice", env!("CARGO_PKG_VERSION"))
        .summary("An OpenAI-compatible streaming gateway with the model inside it")
        .license(LicenseObject::new("Apache-2.0").identifier("Apache-2.0"))
}

/// Operations without an app behind them: enough for the document.
struct Described<T>(PhantomData<fn() -> T>);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        T::meta()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, _: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {}
}

#[cfg(test)]
mod tests;

//! From a model's name to the engine that serves it: the models themselves, and the routes that stand before them.
//!
//! Models are there to the end of the process, from its start or since an admin added them; routes come and go while requests run, each of which
//! keeps the route that it began with.

mod breaker;
mod budget;
mod choose;
mod direct;
pub mod health;
mod held;
pub mod live;
mod route;
mod routed;
mod shadow;
mod state;
mod target;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};

use openapi::admin::models::{KeptRoute, RouteSpec};
use parking_lot::RwLock;

use self::breaker::BreakerState;
use self::direct::Direct;
use self::route::Route;
use self::routed::Routed;
use self::target::Target;
use crate::engine::{Engine, ModelCard};
use crate::error::rescue::shorten;
use crate::error::{ApiError, ErrorKind};
use crate::shutdown::Lifecycle;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::routing::Routing;

/// What routes work with.
#[derive(Debug, Clone)]
pub struct Tools {
    /// What copies for shadows run in, and end with.
    pub lifecycle: Lifecycle,
    /// What routes count.
    pub metrics: Routing,
}

/// A configured route names a model that is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the route `{route}` names the model `{model}`, which is not served here")]
pub struct Unserved {
    /// The route's name.
    pub route: String,
    /// The model's.
    pub model: String,
}

/// The names that requests may use. Clones are one catalog.
#[derive(Clone)]
pub struct Catalog(Arc<Inner>);

struct Inner {
    /// The models, in the order of the configuration, then those that were added. Taken once a request.
    models: RwLock<Arc<Models>>,
    tools: Tools,
    /// Routes of the configuration, which nothing changes.
    configured: Routes,
    /// All routes. Taken once a request, never while it runs.
    routes: RwLock<Arc<Routes>>,
    /// Held while routes are read from the store: what was read last is what counts.
    taking_over: tokio::sync::Mutex<()>,
}

/// The models of this process.
#[derive(Clone, Default)]
struct Models {
    targets: Vec<Arc<Target>>,
    /// The same, as requests reach them that name them.
    engines: Vec<Arc<dyn Engine>>,
}

impl Models {
    fn add(&mut self, engine: Arc<dyn Engine>) {
        let target = Arc::new(Target::new(engine));
        self.engines.push(Arc::new(Direct(Arc::clone(&target))));
        self.targets.push(target);
    }

    fn target(&self, name: &str) -> Option<&Arc<Target>> {
        self.targets.iter().find(|target| **target.name() == *name)
    }
}

type Routes = BTreeMap<String, Arc<Route>>;

impl Catalog {
    /// A catalog without routes; names are unique, which the configuration checks.
    pub fn new(engines: Vec<Arc<dyn Engine>>) -> Self {
        let tools = Tools { lifecycle: Lifecycle::new(), metrics: Metrics::default().routing };
        Self::over(engines, tools)
    }

    /// A catalog with the routes of the configuration.
    ///
    /// # Errors
    /// A route names a model that is not served.
    pub fn with_routes(
        engines: Vec<Arc<dyn Engine>>,
        specs: &[RouteSpec],
        tools: Tools,
    ) -> Result<Self, Unserved> {
        let mut catalog = Self::over(engines, tools);
        let configured: Result<Routes, Unserved> =
            specs.iter().map(|spec| Ok((spec.name.clone(), Arc::new(catalog.build(spec, None)?)))).collect();
        if let Some(inner) = Arc::get_mut(&mut catalog.0) {
            inner.configured = configured?;
            inner.routes = RwLock::new(Arc::new(inner.configured.clone()));
        }
        Ok(catalog)
    }

    fn over(engines: Vec<Arc<dyn Engine>>, tools: Tools) -> Self {
        let mut models = Models::default();
        for engine in engines {
            models.add(engine);
        }
        Self(Arc::new(Inner {
            models: RwLock::new(Arc::new(models)),
            tools,
            configured: Routes::new(),
            routes: RwLock::default(),
            taking_over: tokio::sync::Mutex::default(),
        }))
    }

    fn build(&self, spec: &RouteSpec, version: Option<u64>) -> Result<Route, Unserved> {
        Route::new(spec.clone(), version, &self.models().targets, &self.0.tools)
            .map_err(|model| Unserved { route: spec.name.clone(), model })
    }

    fn models(&self) -> Arc<Models> {
        Arc::clone(&self.0.models.read())
    }

    /// Serves one model more, whose name is new.
    pub fn add(&self, engine: Arc<dyn Engine>) {
        let mut models = self.0.models.write();
        let mut more = Models::clone(&models);
        more.add(engine);
        *models = Arc::new(more);
    }

    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.0.routes.read())
    }

    /// Puts these routes beside the configured ones. What did not change keeps what it has learnt.
    pub fn put_routes(&self, kept: Vec<KeptRoute>) {
        let before = self.routes();
        let mut routes = self.0.configured.clone();
        for KeptRoute { spec, version } in kept {
            if routes.contains_key(&spec.name) {
                tracing::warn!(route = spec.name, "the configuration has this route too, and its own counts");
                continue;
            }
            let same =
                before.get(&spec.name).filter(|old| old.version() == Some(version) && *old.spec() == spec);
            let route = match same {
                Some(same) => Ok(Arc::clone(same)),
                None => self.build(&spec, Some(version)).map(Arc::new),
            };
            match route {
                Ok(route) => drop(routes.insert(spec.name, route)),
                // Another replica may serve it.
                Err(error) => tracing::warn!(%error, "a route is left out"),
            }
        }
        *self.0.routes.write() = Arc::new(routes);
    }

    /// Whether the configuration has a route of this name.
    pub fn is_configured(&self, name: &str) -> bool {
        self.0.configured.contains_key(name)
    }

    /// The first model of a route that is not served here.
    pub fn unserved(&self, spec: &RouteSpec) -> Option<String> {
        self.build(spec, None).err().map(|unserved| unserved.model)
    }

    /// The engine that serves a model, for nobody in particular.
    pub fn resolve(&self, model: &str) -> Result<Arc<dyn Engine>, ApiError> {
        self.resolve_for(model, &Arc::from(""))
    }

    /// The engine that serves a model, for one request of a subject.
    pub fn resolve_for(&self, model: &str, subject: &Arc<str>) -> Result<Arc<dyn Engine>, ApiError> {
        if let Some(route) = self.routes().get(model) {
            return Ok(Arc::new(Routed::new(Arc::clone(route), Arc::clone(subject))));
        }
        let models = self.models();
        let found = models.engines.iter().find(|engine| engine.card().id == model);
        found.cloned().ok_or_else(|| unknown(model))
    }

    /// The name of the first model, for requests that name none.
    pub fn default_name(&self) -> Result<Arc<str>, ApiError> {
        self.models().targets.first().map(|first| Arc::clone(first.name())).ok_or_else(|| {
            ApiError::new(ErrorKind::Overloaded, "no model is served here").with_code("model_not_ready")
        })
    }

    /// All models, without the routes to them.
    pub fn engines(&self) -> Vec<Arc<dyn Engine>> {
        self.models().engines.clone()
    }

    /// What every name promises: the models in the order of the configuration, then the routes by name.
    pub fn cards(&self) -> Vec<ModelCard> {
        let (routes, models) = (self.routes(), self.models());
        let cards = models.engines.iter().map(|engine| engine.card());
        let stand_before = cards.map(|card| routes.get(&card.id).map_or(card, |route| route.card()));
        let is_model = |route: &&Arc<Route>| models.target(&route.card().id).is_some();
        let others = routes.values().filter(|route| !is_model(route)).map(|route| route.card());
        stand_before.chain(others).cloned().collect()
    }

    /// Whether every model may be sent requests, or has others in its place.
    pub fn is_ready(&self) -> bool {
        let (routes, models) = (self.routes(), self.models());
        let replaced = |engine: &Arc<dyn Engine>| {
            routes.values().any(|route| {
                let of_route = route.seats().iter().any(|seat| **seat.target.name() == *engine.card().id);
                of_route && route.seats().iter().any(|seat| seat.target.engine().load().ready)
            })
        };
        let all_fine = models.engines.iter().all(|engine| engine.load().ready || replaced(engine));
        !models.engines.is_empty() && all_fine
    }

    /// Shows the breakers of routes' targets before every snapshot. Does not keep the engines.
    pub fn publish(&self, metrics: &Metrics) {
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        metrics.sample(move || {
            let Some(catalog) = inner.upgrade().map(Catalog) else { return };
            let (routes, gauge) = (catalog.routes(), &catalog.0.tools.metrics.breaker_open);
            for target in &catalog.models().targets {
                let seats = routes.values().flat_map(|route| route.seats());
                if seats.into_iter().any(|seat| Arc::ptr_eq(&seat.target, target)) {
                    let open = target.breaker() != BreakerState::Closed;
                    gauge.with_label_values(&[&**target.name()]).set(i64::from(open));
                } else {
                    // There is nothing to remove where no route ever had it.
                    drop(gauge.remove_label_values(&[&**target.name()]));
                }
            }
        });
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.models().targets.iter().map(|target| target.name())).finish()
    }
}

fn unknown(model: &str) -> ApiError {
    let message =
        format!("the model `{}` does not exist; GET /v1/models lists those that do", shorten(model));
    ApiError::new(ErrorKind::NotFound, message).with_param("model").with_code("model_not_found")
}

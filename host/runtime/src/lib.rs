//! Actors over pipes: links, portals, nurseries, tasks

// convert.h: between the versions of a kind that share one storage: HorizontalPodAutoscaler v1 and v2, Event of core/v1
// and events.k8s.io/v1.
// Source: Kubernetes API definitions v1.36; the annotations autoscaling.alpha.kubernetes.io/* of autoscaling/v1.
#pragma once

#include "api/kind.h"
#include "api/object.h"
#include "base/json.h"

namespace kayak::api {

// `document` canonical in `from`'s version; the result canonical in `to`'s. The same kind: unchanged.
json::Value convert(const Kind& from, const Kind& to, json::Value document);
// An object's document in the version that a request asked for.
json::Document document_as(const Object& object, const Kind& kind);

}  // namespace kayak::api

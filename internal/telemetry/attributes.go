package telemetry

import (
	"go.opentelemetry.io/otel/attribute"

	"gwdr/drills"
	"gwdr/probes"
)

// planes are the keys of Result.RTA, in the order in which they are shown.
var planes = []string{string(probes.DataPlane), string(probes.ControlPlane)}

// about is what came out of the drill, as attributes. Their names are those of its JSON, below gwdr.
func about(r *drills.Result) []attribute.KeyValue {
	all := []attribute.KeyValue{
		attribute.String("gwdr.id", r.ID), attribute.Int("gwdr.run_no", r.RunNo),
		attribute.String("gwdr.scenario", r.Scenario), attribute.String("gwdr.fleet", r.Fleet), attribute.String("gwdr.strategy", r.Strategy),
		attribute.String("gwdr.verdict", string(r.Verdict)), attribute.String("gwdr.reason", r.Reason), attribute.Bool("gwdr.clean", r.Clean),
		attribute.String("gwdr.plan_sha256", r.PlanSHA256),
		attribute.Int("gwdr.requests.sent", r.Requests.Sent), attribute.Int("gwdr.requests.ok", r.Requests.OK),
		attribute.Int("gwdr.requests.slow", r.Requests.Slow), attribute.Int("gwdr.requests.failed", r.Requests.Failed),
		attribute.Int("gwdr.requests.unknown", r.Requests.Unknown),
	}
	for _, plane := range planes {
		if rta, ok := r.RTA[plane]; ok {
			all = append(all, recovery("gwdr.rta."+plane+".", rta)...)
		}
	}
	if r.RPA.Acked > 0 {
		all = append(all, loss(r.RPA)...)
	}
	return all
}

// recovery leaves out what is no bound.
func recovery(prefix string, rta drills.RTA) []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.Bool(prefix+"recovered", rta.Recovered), attribute.String(prefix+"impact", rta.Impact),
		attribute.String(prefix+"series", rta.Series), attribute.Float64(prefix+"low_s", rta.LowS)}
	if rta.Recovered {
		all = append(all, attribute.Float64(prefix+"point_s", rta.PointS), attribute.Float64(prefix+"high_s", rta.HighS),
			attribute.Float64(prefix+"error_s", rta.ErrorS))
	}
	return all
}

func loss(rpa drills.RPA) []attribute.KeyValue {
	all := []attribute.KeyValue{attribute.Float64("gwdr.rpa.low_s", rpa.LowS), attribute.Bool("gwdr.rpa.open", rpa.Open),
		attribute.Int("gwdr.rpa.acked", rpa.Acked), attribute.Int("gwdr.rpa.lost", rpa.Lost), attribute.Int("gwdr.rpa.stale", rpa.Stale),
		attribute.Int("gwdr.rpa.resurrected", rpa.Resurrected), attribute.Int("gwdr.rpa.indeterminate", rpa.Indeterminate),
		attribute.String("gwdr.rpa.statement", rpa.Statement)}
	if !rpa.Open {
		all = append(all, attribute.Float64("gwdr.rpa.high_s", rpa.HighS))
	}
	return all
}

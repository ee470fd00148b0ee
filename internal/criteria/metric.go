package criteria

import (
	"slices"
	"strings"

	"assay"
)

// Kind says what an observation of a metric is, and so which bounds hold for it.
type Kind string

// The kinds of metrics.
const (
	Proportion Kind = "proportion" // share of units on which an event happened; yes or no each
	Difference Kind = "difference" // of two proportions on the same units, without and with a solution
	Mean       Kind = "mean"       // of a number between 0 and 1 for each unit
	Quantile   Kind = "quantile"   // the 95th percentile of a number for each unit
	Count      Kind = "count"      // how many there are among all that there are; never a sample
)

// percentile is the share of units that a metric of the kind Quantile speaks of.
const percentile = 0.95

// Metric is something that can be observed and held against a limit.
type Metric struct {
	Name     string         `json:"metric"`
	Kind     Kind           `json:"kind"`
	Relation assay.Relation `json:"relation"` // the side of a limit on which it is good
	Meaning  string         `json:"meaning"`  // what it is, and what counts as the event
	Unit     string         `json:"unit,omitempty"`

	event string // "The attack succeeded on": what happened on so many of the units
	units string // "inputs"
	noun  string // "the rate": what bounds are of
}

// Metrics gives all metrics that a criterion or a cost can name.
func Metrics() []Metric {
	return []Metric{
		{Name: "attack-success-rate", Kind: Proportion, Relation: assay.AtMost,
			Meaning: "Share of the inputs that the model gets right for which an attacker within its limits finds a change that makes the model answer wrongly, by any of the methods tried.",
			event:   "The attack succeeded on", units: "inputs", noun: "rate"},
		{Name: "robust-accuracy", Kind: Proportion, Relation: assay.AtLeast,
			Meaning: "Share of all inputs that the model gets right untouched and under every method tried.",
			event:   "The model stayed right under attack on", units: "inputs", noun: "accuracy"},
		{Name: "clean-accuracy", Kind: Proportion, Relation: assay.AtLeast,
			Meaning: "Share of untouched inputs that the model gets right.",
			event:   "The model was right on", units: "untouched inputs", noun: "accuracy"},
		{Name: "certified-accuracy", Kind: Proportion, Relation: assay.AtLeast,
			Meaning: "Share of all inputs that the model gets right and of which it is proven that no attacker within its limits can change that.",
			event:   "The model was right, and certified to stay so, on", units: "inputs", noun: "accuracy"},
		{Name: "clean-accuracy-loss", Kind: Difference, Relation: assay.AtMost,
			Meaning: "Clean accuracy without the solution less that with it, on the same inputs.",
			units:   "untouched inputs", noun: "loss"},
		{Name: "detection-rate", Kind: Proportion, Relation: assay.AtLeast,
			Meaning: "Share of planted attacks or faults that are reported.",
			event:   "The detector reported", units: "planted cases", noun: "rate"},
		{Name: "false-alarm-rate", Kind: Proportion, Relation: assay.AtMost,
			Meaning: "Share of harmless cases that are reported or refused all the same.",
			event:   "There was a false alarm on", units: "harmless cases", noun: "rate"},
		{Name: "drill-success-rate", Kind: Proportion, Relation: assay.AtLeast,
			Meaning: "Share of exercises that ended in the state wanted within the time allowed.",
			event:   "The aim was reached in", units: "drills", noun: "rate"},
		{Name: "record-conformity", Kind: Proportion, Relation: assay.AtLeast,
			Meaning: "Share of records, artefacts or changes that are as they must be.",
			event:   "What was asked for was found in", units: "records", noun: "share"},
		{Name: "membership-tpr-at-one-percent", Kind: Proportion, Relation: assay.AtMost,
			Meaning: "Share of the records that a model was trained on which the strongest attack recognises, at the threshold at which it takes one in a hundred other records for such.",
			event:   "The attack recognised", units: "members", noun: "rate"},
		{Name: "membership-tpr-at-one-per-mille", Kind: Proportion, Relation: assay.AtMost,
			Meaning: "Share of the records that a model was trained on which the strongest attack recognises, at the threshold at which it takes one in a thousand other records for such.",
			event:   "The attack recognised", units: "members", noun: "rate"},
		{Name: "harm-weighted-rate", Kind: Mean, Relation: assay.AtMost,
			Meaning: "Mean over inputs of the harm that an attack achieves, from 0 for none to 1 for the worst.",
			units:   "inputs", noun: "mean harm"},
		{Name: "response-time-p95", Kind: Quantile, Relation: assay.AtMost, Unit: "s",
			Meaning: "Time from alarm to the state wanted that 95 % of drills stay within, in seconds.",
			units:   "drills", noun: "95th percentile of the response time"},
		{Name: "latency-p95", Kind: Quantile, Relation: assay.AtMost, Unit: "s",
			Meaning: "Time that 95 % of answers take at most, with the solution in place, in seconds.",
			units:   "requests", noun: "95th percentile of the latency"},
		{Name: "open-findings", Kind: Count, Relation: assay.AtMost,
			Meaning: "Number of findings of at least the stated severity that are open, among all that there are.",
			units:   "findings", noun: "number of open findings"},
	}
}

// metricNamed gives the metric of a name.
func metricNamed(name string) (Metric, bool) {
	all := Metrics()
	i := slices.IndexFunc(all, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return all[i], true
}

func metricNames() string {
	var names []string
	for _, m := range Metrics() {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

package backdoor

import (
	"errors"
	"math"
	"slices"
)

// Verdict is what findings of a model say against those of its twins: models of the same making, by the same data and recipe under
// other seeds, that are known to be clean.
type Verdict struct {
	P  float64   // of all detectors together
	By []float64 // of each detector alone
	At []int     // the class that speaks most against the model, by each detector; -1 for one that is about none
}

// Judge compares a model's findings with those of its twins, both in the same order of detectors. Where the model is one more of its twins, P is at most
// alpha with a probability of at most alpha, whatever detectors do and however they depend on each other: all models are treated alike, and the
// model's rank among them is uniform. So 1/alpha-1 twins are the fewest with which anything can be found. A class is compared with
// the same class of the other models, as some are easier to reach. The detectors together are the largest of their statistics, each in median absolute
// deviations from its median over all models: the least of their p-values would have ties with few twins.
func Judge(model []*Finding, twins [][]*Finding) (*Verdict, error) {
	if len(twins) == 0 || len(model) == 0 {
		return nil, errors.New("a model is judged by the findings of one detector and one twin at least")
	}
	all := append([][]*Finding{model}, twins...)
	most := slices.Repeat([]float64{math.Inf(-1)}, len(all))
	out := &Verdict{}
	for d := range model {
		statistics := make([]float64, len(all))
		for i, findings := range all {
			if len(findings) != len(model) || len(findings[d].Classes) != len(model[d].Classes) {
				return nil, errors.New("a twin was looked at by other detectors, or has other classes: give twins that were trained on the same data")
			}
			statistics[i] = findings[d].Statistic
		}
		at := -1
		if len(model[d].Classes) > 0 {
			at = byClass(all, d, statistics)
		}
		for i, deviations := range standard(statistics) {
			most[i] = max(most[i], deviations)
		}
		out.By, out.At = append(out.By, tail(statistics)), append(out.At, at)
	}
	out.P = tail(most)
	return out, nil
}

// byClass gives each model's largest suspicion of a class, less what is usual for that class, and the class for the first model.
func byClass(all [][]*Finding, d int, statistics []float64) (at int) {
	for c := range all[0][d].Classes {
		of := make([]float64, len(all))
		for i, findings := range all {
			of[i] = findings[d].Classes[c].Suspicion
		}
		usual := median(of)
		for i, v := range of {
			if c == 0 || v-usual > statistics[i] {
				statistics[i] = v - usual
				if i == 0 {
					at = c
				}
			}
		}
	}
	return at
}

// standard gives numbers in median absolute deviations from their median.
func standard(values []float64) []float64 {
	centre := median(values)
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = math.Abs(v - centre)
	}
	unit := max(median(out), 1e-9)
	for i, v := range values {
		out[i] = (v - centre) / unit
	}
	return out
}

// tail gives the part of some numbers that is as large as the first.
func tail(values []float64) float64 {
	n := 0
	for _, v := range values {
		if v >= values[0] {
			n++
		}
	}
	return float64(n) / float64(len(values))
}

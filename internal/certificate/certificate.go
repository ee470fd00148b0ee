// Package certificate is the form of a guarantee: what was shown about one input, how, under which
// assumption, and how sure it is. Whoever certifies gives certificates; reports count them.
package certificate

import (
	"fmt"
	"math"

	"assay/internal/stat"
)

// Certificate says that a model's answer to one input stays the same whatever an attacker does within limits:
// a perturbation of the input within Radius, or, of what the model was trained on, changes of up to Budget records.
type Certificate struct {
	Class   int     `json:"class"`   // that the model answers; -1 where it does not answer
	Correct bool    `json:"correct"` // the class is the input's label
	Radius  float64 `json:"radius"`  // in Norm; 0 where nothing is shown about perturbed inputs
	Norm    string  `json:"norm,omitempty"`
	Budget  int     `json:"budget,omitempty"` // records

	Method     string  `json:"method"`     // with its reference
	Assumption string  `json:"assumption"` // what it holds under, in a sentence
	Confidence float64 `json:"confidence"` // the probability with which it holds; 1 where nothing was drawn at random
}

// Point is the certified accuracy at a radius: the part of the inputs whose answer is right and certified to stay so.
type Point struct {
	Radius   float64       `json:"radius"`
	Hits     int           `json:"hits"`
	N        int           `json:"n"`
	Accuracy float64       `json:"accuracy"`
	Interval stat.Interval `json:"interval"` // of the accuracy, exact (Clopper and Pearson 1934), for inputs drawn at random
}

// Accuracy gives the certified accuracy at each radius, with two-sided intervals at a confidence. The confidence of
// the certificates themselves is not in the intervals: of n that hold with confidence c, n·(1−c) may fail.
func Accuracy(list []Certificate, radii []float64, confidence float64) ([]Point, error) {
	points := make([]Point, 0, len(radii))
	for _, radius := range radii {
		if !(radius >= 0) || math.IsInf(radius, 0) {
			return nil, fmt.Errorf("nothing can be certified at the radius %g: give 0 or more", radius)
		}
		p := Point{Radius: radius, N: len(list)}
		for _, c := range list {
			if c.Correct && c.Radius >= radius {
				p.Hits++
			}
		}
		var err error
		if p.Interval, err = stat.ClopperPearson(p.Hits, p.N, confidence); err != nil {
			return nil, fmt.Errorf("the certified accuracy at %g: %w", radius, err)
		}
		p.Accuracy = float64(p.Hits) / float64(p.N)
		points = append(points, p)
	}
	return points, nil
}

// Package poisoning finds records of training data that somebody planted. Each detector gives
// every record a suspicion; what suspicion says, is measured by planting records of which it is known.
package poisoning

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
)

// Detector gives records a suspicion.
type Detector interface {
	// Describe tells what the detector is. It is the same at every call.
	Describe() Description

	// Suspect gives a number for each record: the larger, the more suspicious. Only their
	// order within one call means something. Its randomness comes from rng alone.
	Suspect(ctx context.Context, r *Records, rng *rand.Rand) ([]float64, error)
}

// Description tells what a detector is and needs.
type Description struct {
	Name      string `json:"name"`
	Needs     []Need `json:"needs"`
	Reference string `json:"reference"` // the paper, with its section or algorithm
}

// Need is a part of Records that a detector cannot do without.
type Need string

// The parts of Records.
const (
	Inputs        Need = "inputs"
	Features      Need = "features"
	Probabilities Need = "probabilities"
	Checkpoints   Need = "checkpoints"
)

// Records are what detectors look at: records with their labels, and what models make of them.
type Records struct {
	Labels  []int // from 0 to Classes-1
	Classes int

	Inputs Matrix // a row for each record, as the model takes it

	// Features are what a layer near the end of a model gives, which was trained on these very records.
	Features Matrix

	// Probabilities are those of the classes, each record's by a model that it was not among the training data of.
	Probabilities Matrix

	// Checkpoints are what the model in training gave for the records, at some epochs' ends.
	Checkpoints []Checkpoint
}

// Checkpoint is what a model gives for the records at some time of its training on them.
type Checkpoint struct {
	Rate          float64 // the learning rate at that time
	Features      Matrix  // the input of the last layer
	Probabilities Matrix  // the softmax of the last layer's output
}

// Matrix is rows of numbers, one after the other. The zero Matrix has none.
type Matrix struct {
	Width int
	Data  []float32
}

// Len is the number of rows.
func (m Matrix) Len() int {
	if m.Width == 0 {
		return 0
	}
	return len(m.Data) / m.Width
}

// Row gives a row, which is the matrix's own.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Width : (i+1)*m.Width] }

// Check reports what is missing for a detector, or is no number.
func (r *Records) Check(d Description) error {
	n := len(r.Labels)
	if n == 0 || r.Classes < 2 {
		return fmt.Errorf("%s needs records of at least two classes: here are %d of %d", d.Name, n, r.Classes)
	}
	for i, label := range r.Labels {
		if label < 0 || label >= r.Classes {
			return fmt.Errorf("record %d has the label %d, and there are the classes 0 to %d", i, label, r.Classes-1)
		}
	}
	for _, need := range d.Needs {
		if need == Checkpoints {
			if err := r.checkCheckpoints(d); err != nil {
				return err
			}
			continue
		}
		m := map[Need]Matrix{Inputs: r.Inputs, Features: r.Features, Probabilities: r.Probabilities}[need]
		if err := r.checkMatrix(d, need, m); err != nil {
			return err
		}
	}
	return nil
}

func (r *Records) checkCheckpoints(d Description) error {
	if len(r.Checkpoints) == 0 {
		return fmt.Errorf("%s needs what the model gave at checkpoints of its training, and has none", d.Name)
	}
	for _, c := range r.Checkpoints {
		if err := errors.Join(r.checkMatrix(d, Features, c.Features), r.checkMatrix(d, Probabilities, c.Probabilities)); err != nil {
			return fmt.Errorf("a checkpoint: %w", err)
		}
		if !(c.Rate > 0) {
			return fmt.Errorf("a checkpoint has the learning rate %g, which is not above 0", c.Rate)
		}
	}
	return nil
}

func (r *Records) checkMatrix(d Description, need Need, m Matrix) error {
	n := len(r.Labels)
	if m.Len() != n || len(m.Data) != n*m.Width {
		return fmt.Errorf("%s needs the %s of all %d records, and has those of %d", d.Name, need, n, m.Len())
	}
	if need == Probabilities && m.Width != r.Classes {
		return fmt.Errorf("%s needs the probabilities of %d classes, and has those of %d", d.Name, r.Classes, m.Width)
	}
	for i, v := range m.Data {
		if x := float64(v); math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("the %s of record %d hold %g, which is no finite number: leave it out, or mend the model", need, i/m.Width, v)
		}
	}
	return nil
}

// byLabel gives the records of each class, in order.
func (r *Records) byLabel() [][]int {
	of := make([][]int, r.Classes)
	for i, label := range r.Labels {
		of[label] = append(of[label], i)
	}
	return of
}

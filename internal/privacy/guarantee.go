package privacy

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Entry is the entry of a model's metadata that says what was proven of its training.
const Entry = "assay.privacy"

// Guarantee is what a training by DP-SGD proves, and by which settings.
type Guarantee struct {
	Epsilon float64 `json:"epsilon"` // the least, by the distribution of the privacy loss
	Delta   float64 `json:"delta"`
	Mechanism
	Clip       float64 `json:"clip"`
	Assumption string  `json:"assumption"`
}

// Assumption is what a guarantee holds under.
const Assumption = "Neighbours differ by one record more or less. Architecture, schema, settings and a model that was trained further do not depend on the training records; " +
	"nobody knows the key of samples and noise; numbers are taken for exact."

// Prove gives the guarantee of a training at a delta.
func Prove(m Mechanism, clip, delta float64) (*Guarantee, error) {
	epsilon, err := Epsilon(m, delta)
	if err != nil {
		return nil, err
	}
	return &Guarantee{Epsilon: epsilon, Delta: delta, Mechanism: m, Clip: clip, Assumption: Assumption}, nil
}

// Encode gives the entry's content.
func (g *Guarantee) Encode() (string, error) {
	text, err := json.Marshal(g)
	return string(text), err
}

// Decode reads an entry, and proves it anew from its settings: what they do not prove is an error.
func Decode(entry string) (*Guarantee, error) {
	if len(entry) > 1<<16 {
		return nil, errors.New("it is longer than such an entry can be")
	}
	var g Guarantee
	if err := json.Unmarshal([]byte(entry), &g); err != nil {
		return nil, err
	}
	proven, err := Prove(g.Mechanism, g.Clip, g.Delta)
	if err != nil {
		return nil, err
	}
	if g.Epsilon < proven.Epsilon*(1-1e-6) {
		return nil, fmt.Errorf("it claims an epsilon of %g, and its settings prove %g", g.Epsilon, proven.Epsilon)
	}
	return &g, nil
}

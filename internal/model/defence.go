package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"assay/onnx"
)

// The entries of a model's metadata that say what its graph cannot: how the measures in it, that are to
// withstand attacks, must be run and attacked.
const (
	RejectEntry          = "assay.reject"           // "last": the last class is a refusal to answer
	StraightThroughEntry = "assay.straight-through" // names of nodes, separated by spaces
	RandomEntry          = "assay.random"           // a JSON list of RandomInput
	SmoothingEntry       = "assay.smoothing"        // a JSON object, Smoothing
)

const rejectLast = "last"

// Defence is what a model's metadata say of the measures in its graph.
type Defence struct {
	// Reject says that the last class is no class but a refusal, such as a detector's: whoever gets it has no answer.
	Reject bool

	// StraightThrough names nodes whose gradient is passed through unchanged, as their own is zero or useless
	// (backward pass differentiable approximation: Athalye et al. 2018, arXiv:1802.00420, section 4.1).
	StraightThrough []string

	// Random are the inputs that are filled with fresh random numbers at each call.
	Random []RandomInput

	// Smoothing says that the classifier is the vote of the model under noise; nil where it is the model itself.
	Smoothing *Smoothing
}

// Distribution names what random numbers are drawn from.
type Distribution string

// The distributions of random inputs.
const (
	Normal  Distribution = "normal"
	Uniform Distribution = "uniform" // from Low, and below High
)

// RandomInput is an input of a graph, with one row of random numbers for each row of the batch.
type RandomInput struct {
	Input        string       `json:"input"`
	Distribution Distribution `json:"distribution"`
	Mean         float64      `json:"mean,omitempty"` // of normal
	Deviation    float64      `json:"deviation,omitempty"`
	Low          float64      `json:"low,omitempty"` // of uniform
	High         float64      `json:"high,omitempty"`
}

// Smoothing are the settings of a randomly smoothed classifier (Cohen, Rosenfeld and Kolter 2019, arXiv:1902.02918,
// section 3.2): its class is that which most of N rows take to which noise was added. It abstains
// where that is not certain.
type Smoothing struct {
	Sigma float64 `json:"sigma"` // standard deviation of the noise, in the units of the model's input
	N0    int     `json:"n0"`    // draws from which the class is chosen
	N     int     `json:"n"`     // draws from which its probability is estimated
	Alpha float64 `json:"alpha"` // probability that an answer or a radius is wrong
	Batch int     `json:"batch"` // rows that the model runs at once
}

// Limits on what metadata may ask for.
const (
	maxMetadata  = 1 << 20 // bytes of one entry
	maxSmoothing = 1 << 24 // draws
)

// Any reports whether the metadata say anything.
func (d *Defence) Any() bool {
	return d.Reject || len(d.StraightThrough) > 0 || len(d.Random) > 0 || d.Smoothing != nil
}

// ReadDefence gives what a model's metadata say. Errors name the entry. That nodes and inputs exist is
// for whoever uses them to see.
func ReadDefence(m *onnx.Model) (*Defence, error) {
	d := &Defence{}
	for _, entry := range []struct {
		name string
		read func(string) error
	}{
		{RejectEntry, d.readReject}, {StraightThroughEntry, d.readStraightThrough}, {RandomEntry, d.readRandom}, {SmoothingEntry, d.readSmoothing},
	} {
		text, ok := m.Metadata[entry.name]
		if !ok {
			continue
		}
		err := error(nil)
		if len(text) > maxMetadata {
			err = fmt.Errorf("it has %d bytes, and at most %d are read", len(text), maxMetadata)
		} else {
			err = entry.read(text)
		}
		if err != nil {
			return nil, fmt.Errorf("the entry %s of the model's metadata: %w", entry.name, err)
		}
	}
	return d, nil
}

// Write notes the defence in a model's metadata, in place of what was there.
func (d *Defence) Write(m *onnx.Model) error {
	if err := d.validate(); err != nil {
		return err
	}
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	for _, entry := range []string{RejectEntry, StraightThroughEntry, RandomEntry, SmoothingEntry} {
		delete(m.Metadata, entry)
	}
	if d.Reject {
		m.Metadata[RejectEntry] = rejectLast
	}
	if len(d.StraightThrough) > 0 {
		m.Metadata[StraightThroughEntry] = strings.Join(d.StraightThrough, " ")
	}
	if len(d.Random) > 0 {
		text, err := json.Marshal(d.Random)
		if err != nil {
			return err
		}
		m.Metadata[RandomEntry] = string(text)
	}
	if d.Smoothing != nil {
		text, err := json.Marshal(d.Smoothing)
		if err != nil {
			return err
		}
		m.Metadata[SmoothingEntry] = string(text)
	}
	return nil
}

func (d *Defence) validate() error {
	for _, name := range d.StraightThrough {
		if strings.Join(strings.Fields(name), "") != name || name == "" {
			return fmt.Errorf("the node %q cannot be named in metadata: give it a name without spaces", name)
		}
	}
	if err := unique(d.StraightThrough, "node"); err != nil {
		return err
	}
	if err := validRandom(d.Random); err != nil {
		return err
	}
	if d.Smoothing != nil {
		return d.Smoothing.Validate()
	}
	return nil
}

func (d *Defence) readReject(text string) error {
	if text != rejectLast {
		return fmt.Errorf("it is %.40q, and only %q, the last class, can be the refusal", text, rejectLast)
	}
	d.Reject = true
	return nil
}

func (d *Defence) readStraightThrough(text string) error {
	if d.StraightThrough = strings.Fields(text); len(d.StraightThrough) == 0 {
		return errors.New("it names no node")
	}
	return unique(d.StraightThrough, "node")
}

func (d *Defence) readRandom(text string) error {
	if err := decodeStrictly(text, &d.Random); err != nil {
		return err
	}
	if len(d.Random) == 0 {
		return errors.New("it names no input")
	}
	return validRandom(d.Random)
}

func (d *Defence) readSmoothing(text string) error {
	if err := decodeStrictly(text, &d.Smoothing); err != nil {
		return err
	}
	if d.Smoothing == nil {
		return errors.New("it has no settings")
	}
	return d.Smoothing.Validate()
}

func validRandom(list []RandomInput) error {
	var names []string
	for _, r := range list {
		if err := r.validate(); err != nil {
			return fmt.Errorf("the random input %.80q: %w", r.Input, err)
		}
		names = append(names, r.Input)
	}
	return unique(names, "input")
}

func (r RandomInput) validate() error {
	for _, v := range []float64{r.Mean, r.Deviation, r.Low, r.High} {
		if !(math.Abs(v) <= math.MaxFloat32) {
			return fmt.Errorf("%g is no number that a model can be given", v)
		}
	}
	switch {
	case r.Input == "":
		return errors.New("it has no name")
	case r.Distribution == Normal && (!(r.Deviation > 0) || r.Low != 0 || r.High != 0):
		return fmt.Errorf("a normal distribution has a mean and a deviation above 0, and low %g, high %g and deviation %g are given", r.Low, r.High, r.Deviation)
	case r.Distribution == Uniform && (!(r.Low < r.High) || r.Mean != 0 || r.Deviation != 0):
		return fmt.Errorf("a uniform distribution has a low end below its high one, and mean %g, deviation %g, low %g and high %g are given", r.Mean, r.Deviation, r.Low, r.High)
	case r.Distribution != Normal && r.Distribution != Uniform:
		return fmt.Errorf("the distribution %.40q is not known: use one of %q", r.Distribution, []Distribution{Normal, Uniform})
	}
	return nil
}

// Validate says what is wrong with the settings, nil where nothing is.
func (s *Smoothing) Validate() error {
	switch {
	case !(s.Sigma > 0) || s.Sigma > math.MaxFloat32:
		return fmt.Errorf("noise has a standard deviation above 0, and sigma is %g", s.Sigma)
	case s.N0 < 1 || s.N < 1 || s.N0 > maxSmoothing || s.N > maxSmoothing:
		return fmt.Errorf("a vote has from 1 to %d draws, and n0 is %d and n %d", maxSmoothing, s.N0, s.N)
	case !(s.Alpha > 0 && s.Alpha < 1):
		return fmt.Errorf("a probability of error lies between 0 and 1, and alpha is %g", s.Alpha)
	case s.Batch < 1 || s.Batch > maxSmoothing:
		return fmt.Errorf("a model runs at least one row at once, and batch is %d", s.Batch)
	}
	return nil
}

func unique(names []string, what string) error {
	seen := slices.Sorted(slices.Values(names))
	for i := 1; i < len(seen); i++ {
		if seen[i] == seen[i-1] {
			return fmt.Errorf("the %s %.80q is named twice", what, seen[i])
		}
	}
	return nil
}

// decodeStrictly reads one JSON value without fields that are not known, and nothing after it.
func decodeStrictly(text string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("it is not as it must be: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its value")
	}
	return nil
}

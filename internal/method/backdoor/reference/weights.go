package reference

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"assay/onnx"
)

// Kind is how the numbers of a layer differ.
type Kind string

// The kinds. What each looks like is no proof of how it came about.
const (
	Statistics Kind = "statistics" // the running statistics of batch normalisation alone
	Bits       Kind = "bits"       // each number that differs, as after flips of bits: see flipped
	Edited     Kind = "edited"     // less than half of the numbers: as after a change by hand
	Trained    Kind = "trained"    // half of the numbers or more: as after training
)

// Layer is a node some of whose constants are not those of the reference.
type Layer struct {
	Layer    string  `json:"layer"` // the node of the model
	Kind     Kind    `json:"kind"`
	Changed  int     `json:"changed"`  // numbers that differ
	Numbers  int     `json:"numbers"`  // all of its constants
	Distance float64 `json:"distance"` // of the floating-point numbers: L2 of the difference over that of the reference
}

// layerOf compares the constants of two nodes that are each other's; nil where none differs.
func layerOf(own, other *node) (*Layer, error) {
	l := &Layer{Layer: own.String(), Kind: Edited}
	statistics, flips, square, norm := true, true, 0.0, 0.0
	for i, t := range own.constants {
		if t == nil {
			continue
		}
		p, err := compare(t, other.constants[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", own, err)
		}
		l.Numbers += p.numbers
		l.Changed += p.changed
		square, norm = square+p.square, norm+p.norm
		if p.changed > 0 {
			statistics = statistics && own.OpType() == "BatchNormalization" && i >= 3
			flips = flips && p.flipped
		}
	}
	if l.Changed == 0 {
		return nil, nil
	}
	l.Distance = math.Sqrt(square / max(norm, math.SmallestNonzeroFloat64))
	switch {
	case statistics:
		l.Kind = Statistics
	case flips:
		l.Kind = Bits
	case 2*l.Changed >= l.Numbers:
		l.Kind = Trained
	}
	return l, nil
}

// pair is how two constants of the same type and shape differ.
type pair struct {
	numbers, changed int
	square, norm     float64 // of the difference and of the reference, where they are floating-point numbers
	flipped          bool    // all that differ
}

func compare(own, other *onnx.Tensor) (pair, error) {
	p := pair{numbers: int(own.Len()), flipped: true}
	if own.Type == onnx.String {
		b := other.Strings()
		for i, v := range own.Strings() {
			if i >= len(b) || v != b[i] {
				p.changed, p.flipped = p.changed+1, false
			}
		}
		return p, nil
	}
	a, err := own.Bytes()
	if err != nil {
		return p, err
	}
	b, err := other.Bytes()
	if err != nil {
		return p, err
	}
	if len(a) != len(b) {
		return p, fmt.Errorf("the constant %q has %d bytes, and that of the reference %d", own.Name, len(a), len(b))
	}
	var x, y []float64
	if own.Type.IsFloat() {
		if x, err = own.Float64s(); err != nil {
			return p, err
		}
		if y, err = other.Float64s(); err != nil {
			return p, err
		}
	}
	most := 0.0
	for _, v := range y {
		most = max(most, math.Abs(v))
		p.norm += v * v
	}
	size := max(1, len(a)/max(1, p.numbers)) // numbers of less than a byte are compared by bytes
	for i := 0; i < len(a); i += size {
		was, is := b[i:i+size], a[i:i+size]
		if slices.Equal(was, is) {
			continue
		}
		p.changed++
		by := 0.0
		if x != nil {
			by = x[i/size] - y[i/size]
			p.square += by * by
		}
		p.flipped = p.flipped && flipped(was, is, by, most)
	}
	return p, nil
}

// flipped tells whether a number differs as after a flip of bits: by one bit, or by a whole number of 127ths of the largest of its
// constant, which is what flips in a model of 8-bit numbers come to (Rakin et al. 2019, arXiv:1903.12269).
func flipped(was, is []byte, by, most float64) bool {
	n := 0
	for k := range was {
		n += bits.OnesCount8(was[k] ^ is[k])
	}
	units := math.Abs(by) * 127 / most
	whole := math.Round(units)
	return n == 1 || whole >= 1 && whole <= 255 && math.Abs(units-whole) < 1e-3
}

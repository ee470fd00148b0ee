package method

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Family is a set of transformations of an input, each given by a few numbers. An attacker who is held to one, and to no norm,
// chooses those; the harness alone makes rows of them, and makes each again before it counts. So nothing leaves the
// family, and whoever has the input and the numbers can make the row again.
type Family interface {
	Name() string
	Parameters() []Parameter
	// Validate tells why inputs of a domain cannot be transformed.
	Validate(d *Domain) error
	// Size is how much of the attacker's Eps a transformation takes, 0 for none at all.
	Size(parameters []float64) float64
	// Transform gives a new row. Its numbers may be outside the domain, into which they are brought.
	// The same input and parameters give the same bytes.
	Transform(d *Domain, clean []float32, parameters []float64) []float32
}

// Parameter is one of the numbers that give a transformation.
type Parameter struct {
	Name      string
	Low, High float64 // closed limits
	Whole     bool
}

// checkParameters tells in what some numbers are no transformation of at most a size.
func checkParameters(f Family, eps float64, parameters []float64) error {
	of := f.Parameters()
	if len(parameters) != len(of) {
		return fmt.Errorf("%s has %d parameters, and %d are given", f.Name(), len(of), len(parameters))
	}
	for i, p := range of {
		v := parameters[i]
		if !(v >= p.Low && v <= p.High) || p.Whole && v != math.Trunc(v) {
			return fmt.Errorf("the %s of %s is %v: it is from %v to %v", p.Name, f.Name(), v, p.Low, p.High)
		}
	}
	if size := f.Size(parameters); !(size <= eps) {
		return fmt.Errorf("%s of size %v is more than the attacker's %v", f.Name(), size, eps)
	}
	return nil
}

// transformed makes a row, and brings it into the domain: what is to be whole is rounded to the nearest.
func transformed(f Family, d *Domain, clean []float32, parameters []float64) []float32 {
	x := f.Transform(d, clean, slices.Clone(parameters))
	for i := range x {
		if d.integer(i) && x[i] != clean[i] {
			x[i] = float32(math.Round(float64(x[i])))
		}
	}
	box := Space{Domain: d, Norm: Linf, Eps: math.Inf(1), Clean: clean}
	box.Project(x)
	return x
}

// Transform makes the unit's input into a row of the attacker's family. Only such rows count for an attacker who is held to one.
// The error is about parameters beyond their limits or the attacker's Eps.
func (u *unit) Transform(parameters []float64) ([]float32, error) {
	f := u.run.attacker.Family
	if f == nil {
		return nil, u.failed(errors.New("it transforms an input, and the attacker is held to a norm"))
	}
	if err := checkParameters(f, u.space.Eps, parameters); err != nil {
		return nil, u.failed(err)
	}
	x := transformed(f, u.space.Domain, u.space.Clean, parameters)
	if u.made == nil {
		u.made = map[[sha256.Size]byte][]float64{}
	}
	u.made[rowDigest(x)] = slices.Clone(parameters)
	return x, nil
}

// measure gives the size of what was done to the input to make a row, and the parameters of a transformation. Of a row
// that is none it is infinite.
func (u *unit) measure(x []float32) (size float64, parameters []float64) {
	f := u.run.attacker.Family
	if f == nil {
		return u.space.Distance(x), nil
	}
	if parameters = u.made[rowDigest(x)]; parameters == nil {
		return math.Inf(1), nil
	}
	return f.Size(parameters), parameters
}

// contains tells in what a row leaves what the attacker may do, nil if it is inside. A transformation is done again.
func (u *unit) contains(x []float32) error {
	f := u.run.attacker.Family
	if f == nil {
		return u.space.Contains(x)
	}
	parameters, ok := u.made[rowDigest(x)]
	if !ok {
		return fmt.Errorf("the row was not made by %s", f.Name())
	}
	if err := checkParameters(f, u.space.Eps, parameters); err != nil {
		return err
	}
	if !slices.Equal(transformed(f, u.space.Domain, u.space.Clean, parameters), x) {
		return fmt.Errorf("%s of %v gives another row when it is done again", f.Name(), parameters)
	}
	return nil
}

func rowDigest(x []float32) [sha256.Size]byte {
	data := make([]byte, 0, 4*len(x))
	for _, v := range x {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return sha256.Sum256(data)
}

package method

import (
	"fmt"
	"math"
)

// Norm measures a perturbation.
type Norm string

// The norms.
const (
	Linf Norm = "Linf"
	L2   Norm = "L2"
	L1   Norm = "L1"
	L0   Norm = "L0" // how many numbers changed, of images how many pixels
)

// Norms gives all norms.
func Norms() []Norm { return []Norm{Linf, L2, L1, L0} }

// Space is where an attacker may take one unit: within Eps of the clean input in a
// norm, and within the domain. The distance of numbers is measured in the domain's
// scale, which L0 disregards; a one-hot group that changed counts against Groups, not against Eps. With
// Cost, Eps is a budget from which the changes of numbers and of groups are paid.
//
// The clean input is always inside, even where it leaves the domain itself: limits
// reach as far as it does, and a relation that it violates binds nobody.
type Space struct {
	Domain *Domain
	Norm   Norm
	Eps    float64
	Groups int // how many one-hot groups may change
	Clean  []float32

	known *box // of the fields above as they were
}

// Distance is how far a row is from the clean input in the norm, in the domain's
// scale; of Cost it is what the changes cost together. Groups count for Cost alone.
func (s *Space) Distance(x []float32) float64 {
	switch s.Norm {
	case Patch:
		return s.patchSize(x)
	case L0:
		return float64(s.changed(x))
	}
	sum, squares, largest := 0.0, 0.0, 0.0
	s.Domain.plain(func(i int) {
		d := math.Abs(s.offset(i, x[i]))
		sum += d
		squares += d * d
		largest = math.Max(largest, d) // of NaN it is NaN
	})
	switch s.Norm {
	case L2:
		return math.Sqrt(squares)
	case L1:
		return sum
	case Cost:
		return s.cost(x)
	}
	return largest
}

// changed counts the pixels of which a number differs from the clean one.
func (s *Space) changed(x []float32) (n int) {
	seen := make([]bool, len(x))
	s.Domain.plain(func(i int) {
		if p := s.Domain.Pixel(i); x[i] != s.Clean[i] && !seen[p] {
			seen[p] = true
			n++
		}
	})
	return n
}

// offset is the perturbation of number i, in its scale.
func (s *Space) offset(i int, v float32) float64 {
	return (float64(v) - float64(s.Clean[i])) / float64(s.Domain.Scale[i])
}

// Contains reports in what a row leaves the space, nil if it is inside. It shares
// nothing with Project but the measure of distance.
func (s *Space) Contains(x []float32) error {
	d := s.Domain
	if len(x) != len(s.Clean) {
		return fmt.Errorf("the row has %d numbers where the unit has %d", len(x), len(s.Clean))
	}
	for i, v := range x {
		clean := s.Clean[i]
		switch {
		case v == clean:
		case !finite(v):
			return fmt.Errorf("number %d is %g, which is not finite", i, v)
		case d.fixed(i):
			return fmt.Errorf("number %d is fixed, and changed from %g to %g", i, clean, v)
		case v < min(d.Low[i], clean):
			return fmt.Errorf("number %d is %g, below its limit by %g", i, v, float64(d.Low[i])-float64(v))
		case v > max(d.High[i], clean):
			return fmt.Errorf("number %d is %g, above its limit by %g", i, v, float64(v)-float64(d.High[i]))
		case d.monotone(i) == Up && v < clean:
			return fmt.Errorf("number %d can only go up, and went from %g to %g", i, clean, v)
		case d.monotone(i) == Down && v > clean:
			return fmt.Errorf("number %d can only go down, and went from %g to %g", i, clean, v)
		case d.integer(i) && float64(v) != math.Trunc(float64(v)):
			return fmt.Errorf("number %d is %g, not a whole number", i, v)
		}
	}
	if err := s.containsGroups(x); err != nil {
		return err
	}
	if size := s.Distance(x); !(size <= s.Eps) {
		return fmt.Errorf("the perturbation's %s norm is %g, above the %g allowed by %g", s.Norm, size, s.Eps, size-s.Eps)
	}
	for i, r := range d.Relations {
		if over := r.excess(x); over > 0 && r.Holds(s.Clean) {
			return fmt.Errorf("relation %d is exceeded by %g", i+1, over)
		}
	}
	return nil
}

func (s *Space) containsGroups(x []float32) error {
	changed := 0
	for _, g := range s.Domain.Groups {
		ones, zeros, same := 0, 0, true
		for i := g.Start; i < g.End; i++ {
			same = same && x[i] == s.Clean[i]
			if x[i] == 1 {
				ones++
			}
			if x[i] == 0 {
				zeros++
			}
		}
		if same {
			continue
		}
		if changed++; ones != 1 || zeros != g.End-g.Start-1 {
			return fmt.Errorf("numbers %d to %d are not one 1 and else 0", g.Start, g.End-1)
		}
		if s.Domain.fixedGroup(g) {
			return fmt.Errorf("numbers %d to %d are a fixed group, and changed", g.Start, g.End-1)
		}
	}
	if s.Norm != Cost && changed > s.Groups { // whose changes Distance counts
		return fmt.Errorf("%d one-hot groups changed, %d more than allowed", changed, changed-s.Groups)
	}
	return nil
}

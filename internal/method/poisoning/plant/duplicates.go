package plant

import (
	"context"
	"fmt"

	"assay/internal/dataset"
)

// Duplicates adds copies of a few records, under their own labels: a model remembers what it sees often, and
// what is in training and test data flatters it (Lee et al. 2022, arXiv:2107.06499; Barz and Denzler 2020, arXiv:1902.00423).
type Duplicates struct {
	Copies int     // of each record, the last one may have fewer; 0 for 10
	Noise  float64 // the largest change of each number in a copy, as a part of its range; 0 for exact copies
}

// Describe implements Planter.
func (u Duplicates) Describe() Description {
	d := Description{Name: "duplicates", Summary: "copies of a few records added", CleanLabel: true, Reference: "Lee et al. 2022 (arXiv:2107.06499)"}
	if u.Noise != 0 {
		d.Name, d.Summary, d.Reference = "near-duplicates", "copies of a few records added, each changed a little", "Barz and Denzler 2020 (arXiv:1902.00423)"
	}
	return d
}

// Plant implements Planter.
func (u Duplicates) Plant(ctx context.Context, d *dataset.Dataset, o Options) (*Planted, error) {
	of := u.Describe()
	n, err := o.count(d, of)
	if err != nil {
		return nil, err
	}
	copies := u.Copies
	if copies == 0 {
		copies = 10
	}
	if copies < 1 || !(u.Noise >= 0 && u.Noise <= 1) {
		return nil, fmt.Errorf("%s cannot add %d copies with a noise of %g: give 1 or more, and a noise from 0 to 1", of.Name, copies, u.Noise)
	}
	domain, err := domainOf(d)
	if err != nil {
		return nil, err
	}
	chosen, err := draw(d, (n+copies-1)/copies, "in all", o.random(streamRecords), func(int) bool { return true })
	if err != nil {
		return nil, err
	}
	p, rng := replicate(d, -1), o.random(streamTrigger)
	for k := range n {
		from := chosen[k/copies]
		x := append([]float32(nil), d.Record(from)...)
		for i := range x {
			if u.Noise != 0 {
				x[i] += float32((2*rng.Float64() - 1) * u.Noise * (float64(domain.High[i]) - float64(domain.Low[i])))
			}
		}
		within(domain, d.Record(from), x)
		p.add(x, d.Y[from], from)
	}
	return p, ctx.Err()
}

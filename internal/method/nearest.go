package method

import (
	"cmp"
	"context"
	"math"
	"slices"
)

func (u *unit) Nearest() float64 {
	if len(u.nearest) == 0 {
		return math.Inf(1)
	}
	return u.nearest[0].distance
}

// lookFurther remembers an adversarial row beyond Eps, if it is among the nearest and Eps is all that it exceeds.
func (u *unit) lookFurther(c candidate, x []float32) error {
	if len(u.further) == kept && c.distance >= u.further[kept-1].distance {
		return nil
	}
	wide := u.space
	wide.Eps = math.Inf(1)
	if wide.Contains(x) != nil {
		return nil
	}
	if u.run.random {
		if most, err := u.mostly(x); err != nil || !most {
			return err
		}
	}
	c.row = slices.Clone(x)
	at, _ := slices.BinarySearchFunc(u.further, c, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	u.further = slices.Insert(u.further, at, c)
	u.further = u.further[:min(len(u.further), kept)]
	return nil
}

// confirmFurther gives the distance of the nearest of these rows that is adversarial by itself, 0 for none.
func (u *unit) confirmFurther(ctx context.Context) (float64, error) {
	for _, c := range u.further {
		v, err := u.run.alone(ctx, c.row, u.draws)
		if err != nil {
			return 0, err
		}
		if _, most := u.run.other(v, u.label); most {
			return c.distance, nil
		}
	}
	return 0, nil
}

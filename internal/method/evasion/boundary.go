package evasion

import (
	"context"
	"math"
	"slices"

	"assay/internal/method"
)

// toBoundary searches the way from clean to a row of another class for the boundary, and
// gives the row just beyond it. In L2 the way is the line between them, in Linf the
// row clipped to a ball that shrinks (Chen et al. 2020, section 4.1). Groups stay as they are in the row.
func (h *hops) toBoundary(ctx context.Context, x []float32) ([]float32, error) {
	edge, low, high := x, 0.0, 1.0
	distance := h.wide.Distance(x)
	for high-low > max(h.theta, 1e-7) {
		middle := (low + high) / 2
		between := slices.Clone(x)
		for _, j := range h.free {
			offset := h.offset(x, j)
			if h.wide.Norm == method.Linf {
				offset = min(max(offset, -middle*distance), middle*distance)
			} else {
				offset *= middle
			}
			between[j] = h.at(h.wide.Clean, j, offset)
		}
		h.wide.Project(between)
		other, err := h.ask(ctx, between)
		if err != nil {
			return nil, err
		}
		if other[0] {
			edge, high = between, middle
		} else {
			low = middle
		}
	}
	return edge, nil
}

// offset is the perturbation of number j in its scale.
func (h *hops) offset(x []float32, j int) float64 {
	return (float64(x[j]) - float64(h.wide.Clean[j])) / float64(h.wide.Domain.Scale[j])
}

// at gives number j of a row moved by an offset in its scale.
func (h *hops) at(x []float32, j int, offset float64) float32 {
	return float32(float64(x[j]) + offset*float64(h.wide.Domain.Scale[j]))
}

// normal estimates the direction in which the boundary is left for the other class: the mean of
// draws around a row, each with the sign of its decision less the mean decision (equation 16). It has one
// number for each that is free.
func (h *hops) normal(ctx context.Context, edge []float32, radius float64, draws int) ([]float64, error) {
	width, asked, decided := len(edge), 0.0, 0.0
	signed, all := make([]float64, len(h.free)), make([]float64, len(h.free))
	for left := min(draws, h.left); left > 0; left -= together(width) {
		var rows []float32
		for range min(left, together(width)) {
			rows = append(rows, h.around(edge, radius)...)
		}
		other, err := h.ask(ctx, rows)
		if err != nil {
			return nil, err
		}
		for i, o := range other {
			asked++
			decided += sign(o)
			for k, j := range h.free {
				moved := (float64(rows[i*width+j]) - float64(edge[j])) / float64(h.wide.Domain.Scale[j])
				signed[k] += sign(o) * moved
				all[k] += moved
			}
		}
	}
	if math.Abs(decided) == asked {
		return signed, nil // all decided alike: their mean direction is all there is
	}
	for k := range signed {
		signed[k] -= decided / asked * all[k]
	}
	return signed, nil
}

// around draws a row at a radius.
func (h *hops) around(edge []float32, radius float64) []float32 {
	r, x := h.unit.Rand(), slices.Clone(edge)
	direction, length := make([]float64, len(h.free)), 0.0
	for k := range direction {
		direction[k] = r.NormFloat64()
		if h.wide.Norm == method.Linf {
			direction[k] = 2*r.Float64() - 1
		}
		length = math.Hypot(length, direction[k])
	}
	for k, j := range h.free {
		by := direction[k] / length * radius
		x[j] = h.at(edge, j, by)
		if d := h.wide.Domain; d.Integer != nil && d.Integer[j] {
			units := math.Round(by * float64(d.Scale[j]))
			x[j] = edge[j] + float32(math.Copysign(max(math.Abs(units), 1), by))
		}
	}
	h.wide.Project(x)
	return x
}

// hop steps along the normal (in Linf along its signs) by distance/√t, and half as far again and
// again until it is in the other class (section 4.2).
func (h *hops) hop(ctx context.Context, edge []float32, normal []float64, t float64) ([]float32, error) {
	length := math.Sqrt(square(normal, nil))
	if length == 0 {
		return edge, nil
	}
	for size := h.wide.Distance(edge) / math.Sqrt(t); size > 1e-9; size /= 2 {
		x := slices.Clone(edge)
		for k, j := range h.free {
			by := normal[k] / length
			if h.wide.Norm == method.Linf && by != 0 {
				by = math.Copysign(1, by)
			}
			x[j] = h.at(edge, j, size*by)
		}
		h.wide.Project(x)
		other, err := h.ask(ctx, x)
		if err != nil {
			return nil, err
		}
		if other[0] {
			return x, nil
		}
	}
	return edge, nil
}

func sign(other bool) float64 {
	if other {
		return 1
	}
	return -1
}

package model

import (
	"math"
	"slices"
	"strconv"
)

// SumToOne reports whether a row of scores looks like probabilities: several, none
// negative, which add up to 1 but for rounding.
func SumToOne(scores []float64) bool {
	sum := 0.0
	for _, p := range scores {
		if !(p >= 0 && p <= 1+1e-6) {
			return false
		}
		sum += p
	}
	return len(scores) > 1 && math.Abs(sum-1) < 1e-4
}

// Both gives the scores of both classes where a model gives only that of the second: of a
// probability the rest is the first's, and a logit is the lead over the first, whose score is 0.
func Both(second float64, meaning Output) (first, of float64) {
	if meaning == Probabilities {
		return 1 - second, second
	}
	return 0, second
}

// ClassOf gives the class that a label names, -1 for none. A number that is no name is the
// number of the class, from 0, where the model gives labels as numbers.
func ClassOf(label string, numbers bool, classes []string) int {
	class := slices.Index(classes, label)
	if i, err := strconv.Atoi(label); class < 0 && err == nil && numbers && i >= 0 && i < len(classes) {
		return i
	}
	return class
}

// Softmax gives the probabilities that one row of scores stands for: probabilities are given as they are, labels as certain.
func Softmax(scores []float64, meaning Output) []float32 {
	out := make([]float32, len(scores))
	if meaning != Logits {
		for i, v := range scores {
			out[i] = float32(v)
		}
		return out
	}
	top, sum := slices.Max(scores), 0.0
	for _, v := range scores {
		sum += math.Exp(v - top)
	}
	for i, v := range scores {
		out[i] = float32(math.Exp(v-top) / sum)
	}
	return out
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"assay/internal/method/poisoning"
	"assay/internal/method/poisoning/neighbours"
	"assay/internal/model/ort"
)

// featureWidth is that of the features that detectors of planted records are measured on.
const featureWidth = 512

// detection is how a detector's time grows from 15,000 records to 60,000, over how their number does: 1 where it is linear, 4
// where it is quadratic. The seconds at four sizes are printed beside.
func detection(d poisoning.Detector, limit float64) benchmark {
	name := "detect-growth/" + d.Describe().Name
	return benchmark{name, func(ctx context.Context) ([]figure, error) {
		var first, last float64
		for _, n := range []int{7_500, 15_000, 30_000, 60_000} {
			r := clusters(n)
			start := time.Now()
			if _, err := d.Suspect(ctx, r, rand.New(rand.NewPCG(1, 0))); err != nil {
				return nil, err
			}
			last = time.Since(start).Seconds()
			if n == 15_000 {
				first = last
			}
			fmt.Printf("detect-seconds/%s/%d is %.1f\n", d.Describe().Name, n, last)
			runtime.GC()
		}
		return []figure{{name, last / first / 4, "max", limit}}, nil
	}}
}

// clusters are features of ten classes, each about a centre.
func clusters(n int) *poisoning.Records {
	rng := rand.New(rand.NewPCG(2, 0))
	r := &poisoning.Records{Classes: 10, Labels: make([]int, n), Features: poisoning.Matrix{Width: featureWidth, Data: make([]float32, n*featureWidth)}}
	for i := range n {
		r.Labels[i] = i % 10
		for j := range r.Features.Row(i) {
			r.Features.Row(i)[j] = float32(rng.NormFloat64())
		}
		r.Features.Row(i)[r.Labels[i]] += 5
	}
	return r
}

// searching is a detector's search for neighbours.
func searching() poisoning.Search { return neighbours.Search(ort.Options{Threads: threads}) }

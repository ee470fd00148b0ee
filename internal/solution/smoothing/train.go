package smoothing

import (
	"context"
	"fmt"

	"assay/internal/train"
)

// Train makes a training one under noise of the standard deviation sigma, in the units of the data: each example
// gets fresh noise in each epoch (Gaussian data augmentation, Cohen, Rosenfeld and Kolter 2019, section 3.3). It is
// without limits, as that of the vote is.
func Train(o *train.Options, sigma float64) {
	o.Recipe = fmt.Sprintf("noise of standard deviation %g", sigma)
	o.Perturb = func(_ context.Context, b *train.Batch) error {
		size := len(b.X) / b.Len()
		for i := range b.Len() {
			random := b.Rand(i)
			for k := i * size; k < (i+1)*size; k++ {
				b.X[k] += float32(sigma * random.NormFloat64())
			}
		}
		return nil
	}
}

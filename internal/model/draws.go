package model

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// Drawing is what a classifier implements whose answers depend on random numbers, as its Description says.
// Its Predict answers with the numbers of draw 0.
type Drawing interface {
	// PredictDraws is Predict with the random numbers of a draw for each row. A row's numbers depend on the draw and
	// the row alone, not on the rows with it: the same row and draw give the same scores, another draw gives fresh ones.
	PredictDraws(ctx context.Context, rows []float64, draws []uint64, scores []float64) error
}

// DrawingGradient is the same for gradients. Gradient is of draw 0.
type DrawingGradient interface {
	GradientDraws(ctx context.Context, loss Loss, rows []float32, labels, targets []int32, draws []uint64, scores, losses, gradient []float32) error
}

// Source is an input that is filled with random numbers.
type Source struct {
	RandomInput
	Shape []int64 // of one row
	Size  int     // numbers of one row
}

// DrawKey names the random numbers of a row and a draw.
type DrawKey [sha256.Size]byte

// KeyOf gives the key of a row and a draw. Numbers are taken as float32, so that every way of
// running a model draws the same.
func KeyOf[T float32 | float64](row []T, draw uint64) DrawKey {
	data := binary.LittleEndian.AppendUint64(make([]byte, 0, 8+4*len(row)), draw)
	for _, v := range row {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(v)))
	}
	return sha256.Sum256(data)
}

// Fill writes the source's numbers under a key.
func (s *Source) Fill(to []float32, key DrawKey) {
	r := rand.New(rand.NewChaCha8(sha256.Sum256(append(key[:], s.Input...))))
	for i := range to {
		switch s.Distribution {
		case Normal:
			to[i] = float32(s.Mean + s.Deviation*r.NormFloat64())
		case Uniform:
			to[i] = below(s.Low+(s.High-s.Low)*r.Float64(), s.High)
		}
	}
}

// below rounds to float32 without reaching the upper end.
func below(v, high float64) float32 {
	if f := float32(v); float64(f) < high {
		return f
	}
	return math.Nextafter32(float32(high), float32(math.Inf(-1)))
}

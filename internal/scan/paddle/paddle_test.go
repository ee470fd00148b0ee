package paddle

import (
	"testing"

	"assay/internal/scan/corpus"
	"assay/internal/scan/scantest"
)

func TestCases(t *testing.T) { scantest.Cases(t, corpus.Paddle(), Scanner{}, Parameters{}) }

func FuzzScan(f *testing.F) { scantest.Fuzz(f, corpus.Seeds(corpus.Paddle()), Scanner{}, Parameters{}) }

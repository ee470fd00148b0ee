package rdata

import (
	"testing"

	"assay/internal/scan/corpus"
	"assay/internal/scan/scantest"
)

func TestCases(t *testing.T) { scantest.Cases(t, corpus.RData(), Scanner{}) }

func FuzzScan(f *testing.F) { scantest.Fuzz(f, corpus.Seeds(corpus.RData()), Scanner{}) }

package trees

import (
	"testing"

	"assay/internal/scan/corpus"
	"assay/internal/scan/scantest"
)

func TestCases(t *testing.T) { scantest.Cases(t, corpus.Trees(), UBJSON{}, LightGBM{}) }

func FuzzScan(f *testing.F) { scantest.Fuzz(f, corpus.Seeds(corpus.Trees()), UBJSON{}, LightGBM{}) }

func TestCatBoost(t *testing.T) { scantest.Cases(t, corpus.CatBoost(), CatBoost{}, XGBoost{}) }

func FuzzCatBoost(f *testing.F) {
	scantest.Fuzz(f, corpus.Seeds(corpus.CatBoost()), CatBoost{}, XGBoost{})
}

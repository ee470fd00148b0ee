package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"assay/internal/solution/answers"
	"assay/internal/solution/refusal"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// less says what solutions that change answers alone have in common.
const less = `What the model decides is as before, or nearly so; what it says of it is less. Compare what it
gives away with and without: assay audit-privacy membership --compare. Attacks that need labels alone
are not stopped. The records tell what it costs.

` + divided

// answerCommand is a command that changes a model's answers.
func answerCommand(u *ui, name string, build func(c *rewrite.Classifier) (*onnx.Model, error), how func() string, long, example string) *cobra.Command {
	c := graphCommand(u, name, &graphFlags{}, func(_ context.Context, j *job) (*onnx.Model, string, *refusal.Threshold, error) {
		m, err := build(j.classifiers[0])
		return m, how(), nil, err
	})
	c.Long = long + "\n\n" + less
	c.Example = "  assay harden " + name + " --model digits.onnx --data digits.csv.gz --schema schema.yaml" + example + " --out less.onnx"
	return c
}

func labelsCommand(u *ui) *cobra.Command {
	return answerCommand(u, "labels", answers.Labels, func() string { return "answers are the class alone" },
		"Answer with the class alone, without probabilities.", "")
}

func roundingCommand(u *ui) *cobra.Command {
	decimals := 1
	c := answerCommand(u, "rounding", func(c *rewrite.Classifier) (*onnx.Model, error) { return answers.Round(c, decimals) },
		func() string { return fmt.Sprintf("probabilities are rounded to %d decimals", decimals) },
		"Round the probabilities. Of classes that are equal then, the first wins.", " --decimals 1")
	c.Flags().IntVar(&decimals, "decimals", decimals, fmt.Sprintf("that probabilities keep, 1 to %d", answers.MaxDecimals))
	return c
}

func topkCommand(u *ui) *cobra.Command {
	k := 1
	c := answerCommand(u, "topk", func(c *rewrite.Classifier) (*onnx.Model, error) { return answers.Top(c, k) },
		func() string { return fmt.Sprintf("probabilities are of the %d most probable classes only", k) },
		"Answer with the probabilities of the most probable classes only.", " --k 3")
	c.Flags().IntVar(&k, "k", k, "classes that have a probability in the answer")
	return c
}

func noiseCommand(u *ui) *cobra.Command {
	deviation := 0.0
	c := answerCommand(u, "noise", func(c *rewrite.Classifier) (*onnx.Model, error) { return answers.Noise(c, deviation) },
		func() string { return fmt.Sprintf("logits get noise of standard deviation %g", deviation) },
		"Add noise to the logits of each answer, drawn anew. Who asks again and again averages it out.", " --deviation 1")
	c.Flags().Float64Var(&deviation, "deviation", deviation, "standard deviation of the noise")
	c.MarkFlagRequired("deviation")
	return c
}

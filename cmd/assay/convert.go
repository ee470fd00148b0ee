package main

import (
	"github.com/spf13/cobra"

	"assay/internal/convert"
)

func convertCommand(u *ui) *cobra.Command {
	var out, format string
	c := &cobra.Command{
		Use:   "convert FILE -o OUT.safetensors",
		Short: "Convert the weights in a pickle or PyTorch file to safetensors, without executing anything",
		Long: `Convert the weights in a pickle or PyTorch file to safetensors, without executing anything.

The file is what torch.save writes (a zip archive, or the form before version 1.6), or a pickle of
NumPy arrays. Names of tensors in dicts and lists are joined by dots. Tensors that share memory are
written one by one. Whatever else the file holds is refused with its place: save the weights alone
(model.state_dict()) then. The output is there whole or not at all.`,
		Example: "  assay convert pytorch_model.bin -o model.safetensors",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			s, err := convert.File(c.Context(), args[0], out)
			if err != nil {
				return err
			}
			if format == "json" {
				return u.json(s)
			}
			u.row("read", "%s: %s, %d tensors, %d bytes", args[0], s.Format, s.Tensors, s.Bytes)
			u.row("written", "%s", out)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "out", "o", "", "the safetensors file to write")
	c.Flags().StringVar(&format, "format", "text", "of the result: text or json")
	c.MarkFlagRequired("out")
	return c
}

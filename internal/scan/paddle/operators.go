package paddle

import "strings"

// harmful are operators that do more than compute, with what they do.
var harmful = func() map[string]string {
	out := map[string]string{}
	for does, names := range map[string]string{
		"runs a Python function of the program that loads the model":                        "py_func py_layer pylayer run_program custom_raw_op",
		"reads a file of the machine whose path is in the model":                            "load load_combine sparse_table_load read_file load_into_persistables create_custom_reader create_ctr_reader create_recordio_file_reader open_files",
		"writes a file of the machine whose path is in the model":                           "save save_combine sparse_table_save checkpoint_notify recv_save save_persistables",
		"reaches other machines":                                                            "send recv send_barrier fetch_barrier listen_and_serv gen_nccl_id gen_bkcl_id gen_hccl_id c_gen_nccl_id c_gen_bkcl_id c_comm_init c_comm_init_all prefetch pull_sparse push_sparse distributed_lookup_table heter_listen_and_serv send_and_recv split_byref rpc_call rpc_result",
		"hands a part of the program to another engine, with a program or cache of its own": "tensorrt_engine lite_engine anakin_engine ngraph_engine cinn_launch cinn_instruction_run dlnne_engine openvino_engine",
	} {
		for name := range strings.FieldsSeq(names) {
			out[name] = does
		}
	}
	return out
}()

// harmless are operators that compute with what they are given, or run a block of the program.
var harmless = func() map[string]bool {
	out := map[string]bool{}
	for name := range strings.FieldsSeq(`
feed fetch fetch_v assign assign_value fill_constant fill_constant_batch_size_like fill_any_like fill_zeros_like fill_any full full_like share_data share_buffer shape size rank is_empty increment cast scale print assert conditional_block conditional_block_infer while select_input select_output write_to_array read_from_array lod_array_length array_to_lod_tensor lod_tensor_to_array lod_reset lod_rank_table max_sequence_len shrink_rnn_memory merge_lod_tensor merge_lod_tensor_infer split_lod_tensor recurrent rnn_memory_helper tensor_array_to_tensor delete_var nop memcpy memcpy_d2h memcpy_h2d
conv conv2d conv3d conv2d_transpose conv3d_transpose depthwise_conv2d depthwise_conv2d_transpose conv_shift deformable_conv deformable_conv_v1 fused_conv2d conv2d_fusion conv2d_inception_fusion fc mul matmul matmul_v2 bmm mv dot addmm bilinear_tensor_product fused_gemm_epilogue multihead_matmul multihead_matmul_v2 multihead_matmul_roformer fused_multi_transformer fused_attention fused_feedforward fused_matmul fused_transpose flash_attn skip_layernorm fused_embedding_eltwise_layernorm fused_fc_elementwise_layernorm fused_elemwise_activation fused_elemwise_add_activation fusion_gru fusion_lstm fusion_squared_mat_sub fusion_repeated_fc_relu fusion_seqpool_concat fusion_seqconv_eltadd_relu fusion_transpose_flatten_concat fused_bn_activation fused_bn_add_activation fused_bias_dropout_residual_layer_norm preln_residual_bias preln_skip_layernorm
elementwise_add elementwise_sub elementwise_mul elementwise_div elementwise_max elementwise_min elementwise_pow elementwise_mod elementwise_floordiv elementwise_fmax elementwise_fmin elementwise_heaviside minus sum
relu relu6 leaky_relu prelu elu selu celu gelu sigmoid logsigmoid hard_sigmoid hard_swish hard_shrink hardshrink softshrink softmax softplus softsign swish silu mish tanh tanh_shrink stanh thresholded_relu maxout brelu soft_relu log_softmax sequence_softmax rrelu
abs acos acosh asin asinh atan atan2 atanh ceil cos cosh cumsum cumprod logcumsumexp digamma lgamma erf erfinv exp expm1 floor log log10 log1p log2 log_loss logit pow reciprocal round rsqrt sign sin sinh sqrt square tan trunc frac clip clip_by_norm isfinite isfinite_v2 isinf isinf_v2 isnan isnan_v2 logsumexp bernoulli conj real imag complex angle
reduce_all reduce_any reduce_max reduce_mean reduce_min reduce_prod reduce_sum reduce_amax reduce_amin mean max min arg_max arg_min argsort top_k top_k_v2 kthvalue mode median p_norm frobenius_norm norm l1_norm squared_l2_norm squared_l2_distance dist
equal not_equal less_than less_equal greater_than greater_equal equal_all allclose isclose logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not where where_index masked_select
concat split slice strided_slice crop crop_tensor expand expand_v2 expand_as expand_as_v2 tile stack unstack unbind squeeze squeeze2 unsqueeze unsqueeze2 flatten flatten2 flatten_contiguous_range reshape reshape2 transpose transpose2 reverse flip roll rot90 pad pad2d pad3d pad_constant_like set_value gather gather_nd gather_tree scatter scatter_nd_add index_select index_sample index_add index_put take_along_axis put_along_axis one_hot one_hot_v2 lookup_table lookup_table_v2 embedding range linspace eye diag diag_v2 diag_embed diagonal tril_triu meshgrid unique unique_with_counts unique_consecutive shard_index searchsorted bincount histogram kron cross trace unfold fold im2sequence space_to_depth pixel_shuffle pixel_unshuffle shuffle_channel channel_shuffle temporal_shift repeat_interleave
pool2d pool3d max_pool2d_with_index max_pool3d_with_index unpool unpool3d spp batch_norm sync_batch_norm instance_norm layer_norm group_norm data_norm spectral_norm lrn dropout affine_channel affine_grid grid_sampler
bilinear_interp bilinear_interp_v2 nearest_interp nearest_interp_v2 bicubic_interp bicubic_interp_v2 trilinear_interp trilinear_interp_v2 linear_interp linear_interp_v2
roi_align roi_pool psroi_pool prroi_pool prior_box density_prior_box anchor_generator box_coder box_clip box_decoder_and_assign bipartite_match multiclass_nms multiclass_nms2 multiclass_nms3 matrix_nms nms locality_aware_nms retinanet_detection_output yolo_box yolov3_loss generate_proposals generate_proposals_v2 generate_proposal_labels distribute_fpn_proposals collect_fpn_proposals iou_similarity polygon_box_transform target_assign rpn_target_assign detection_map mine_hard_examples
gru gru_unit lstm lstmp lstm_unit rnn cudnn_lstm attention_lstm sequence_conv sequence_pool sequence_expand sequence_expand_as sequence_concat sequence_mask sequence_pad sequence_unpad sequence_reshape sequence_reverse sequence_slice sequence_erase sequence_enumerate sequence_scatter row_conv beam_search beam_search_decode crf_decoding linear_chain_crf ctc_align warpctc edit_distance chunk_eval viterbi_decode
cross_entropy cross_entropy2 softmax_with_cross_entropy sigmoid_cross_entropy_with_logits bce_loss huber_loss smooth_l1_loss hinge_loss rank_loss margin_rank_loss kldiv_loss nll_loss mse_loss accuracy auc precision_recall label_smooth cos_sim
gaussian_random gaussian_random_batch_size_like uniform_random uniform_random_batch_size_like truncated_gaussian_random randint randperm multinomial sampling_id seed
quantize dequantize requantize quantize_linear dequantize_linear fake_quantize_abs_max fake_quantize_dequantize_abs_max fake_quantize_moving_average_abs_max fake_quantize_dequantize_moving_average_abs_max fake_channel_wise_quantize_abs_max fake_channel_wise_dequantize_max_abs fake_channel_wise_quantize_dequantize_abs_max fake_dequantize_max_abs fake_quantize_range_abs_max moving_average_abs_max_scale
cholesky inverse determinant slogdeterminant matrix_power matrix_rank svd qr eigh eigvalsh lu solve triangular_solve lstsq fft_c2c fft_c2r fft_r2c frame overlap_add hash coalesce_tensor partial_concat partial_sum segment_pool graph_send_recv tdm_child tdm_sampler merge_selected_rows get_tensor_from_selected_rows`) {
		out[name] = true
	}
	return out
}()

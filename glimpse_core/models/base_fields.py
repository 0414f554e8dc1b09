"""Names of fields that describe the base model in a published config.json, beside the glimpse fields.

They change no number here: the base model is loaded from its own folder, with its own config. `check_base` compares
those by which base models are told apart.
"""

from __future__ import annotations

_ANY = """
    _attn_implementation_autoset _name_or_path add_cross_attention architectures attention_bias attention_dropout
    attn_implementation auto_map bad_words_ids begin_suppress_tokens bos_token_id chunk_size_feed_forward
    cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample dtype early_stopping
    encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task forced_bos_token_id
    forced_eos_token_id head_dim hidden_act hidden_size id2label initializer_range intermediate_size is_decoder
    is_encoder_decoder label2id layer_types length_penalty max_length max_position_embeddings max_window_layers
    min_length mlp_bias model_type no_repeat_ngram_size num_attention_heads num_beam_groups num_beams num_hidden_layers
    num_key_value_heads num_return_sequences output_attentions output_hidden_states output_scores pad_token_id prefix
    pretraining_tp problem_type pruned_heads remove_invalid_values repetition_penalty return_dict
    return_dict_in_generate rms_norm_eps rope_parameters rope_scaling rope_theta sep_token_id sliding_window
    suppress_tokens task_specific_params temperature text_config tf_legacy_loss tie_encoder_decoder
    tie_word_embeddings tokenizer_class tokenizer_model_max_length tokenizer_padding_side top_k top_p torch_dtype
    torchscript transformers_version typical_p use_bfloat16 use_cache use_sliding_window vision_config vocab_size
"""
_QWEN = """
    image_token_id video_token_id vision_end_token_id vision_start_token_id vision_token_id
"""
_LLAVA = """
    freeze_mm_mlp_adapter freeze_mm_vision_resampler image_aspect_ratio image_crop_resolution image_grid_pinpoints
    image_seq_length image_split_resolution image_token_index mm_hidden_size mm_patch_merge_type mm_projector_lr
    mm_projector_type mm_resampler_type mm_use_im_patch_token mm_use_im_start_end mm_vision_select_feature
    mm_vision_select_layer mm_vision_tower mm_vision_tower_lr multimodal_projector_bias projector_hidden_act
    tune_mm_mlp_adapter tune_mm_vision_resampler unfreeze_mm_vision_tower use_mm_proj vision_feature_layer
    vision_feature_select_strategy
"""
BASE_FIELDS = frozenset((_ANY + _QWEN + _LLAVA).split())

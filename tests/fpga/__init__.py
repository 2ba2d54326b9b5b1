"""Images of kind fpga: conversion, emulation, agreement."""

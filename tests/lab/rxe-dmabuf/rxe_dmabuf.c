// SPDX-License-Identifier: GPL-2.0-only
/*
 * Registration of dma-bufs for rdma_rxe, so that the verbs + dma-buf path can be tested on a machine
 * without an RDMA adapter. Built into the module together with hooks.patch; never outside the guest.
 *
 * rxe moves bytes with the CPU. A dma-buf is attached to a platform device that stands for the
 * adapter's DMA engine, pinned, and its DMA addresses are turned back into pages; that is right only
 * where they are the pages' own physical addresses, so everything else is refused.
 */
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/iommu-dma.h>
#include <linux/platform_device.h>
#include <linux/swiotlb.h>
#include <rdma/iter.h>

#include "rxe.h"
#include "rxe_loc.h"

static struct platform_device *rxe_dma;

int rxe_dmabuf_init(void)
{
	struct platform_device_info info = {
		.name = "rxe_dmabuf",
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};

	rxe_dma = platform_device_register_full(&info);
	if (IS_ERR(rxe_dma))
		return PTR_ERR(rxe_dma);
	dma_set_max_seg_size(&rxe_dma->dev, UINT_MAX);
	return 0;
}

void rxe_dmabuf_exit(void)
{
	platform_device_unregister(rxe_dma);
}

static bool addresses_are_physical(struct device *dev)
{
	return !get_dma_ops(dev) && !use_dma_iommu(dev) && !is_swiotlb_force_bounce(dev);
}

static int fill_pages(struct rxe_mr *mr)
{
	struct ib_block_iter block;
	size_t pages = ib_umem_num_pages(mr->umem);

	mr->page_info = kvcalloc(pages, sizeof(*mr->page_info), GFP_KERNEL);
	if (!mr->page_info)
		return -ENOMEM;
	mr->num_buf = pages;
	mr->max_allowed_buf = pages;
	mr->nbuf = 0;

	rdma_umem_for_each_dma_block(mr->umem, &block, PAGE_SIZE) {
		dma_addr_t addr = rdma_block_iter_dma_address(&block);
		unsigned long pfn = PHYS_PFN(dma_to_phys(&rxe_dma->dev, addr));

		if (!pfn_valid(pfn))
			return -EOPNOTSUPP;
		mr->page_info[mr->nbuf++].page = pfn_to_page(pfn);
	}
	return 0;
}

/* What this leaves in MR after an error, rxe_mr_cleanup() gives back. */
static int init_mr(struct rxe_dev *rxe, struct rxe_mr *mr, u64 offset, u64 length, u64 iova, int fd,
		   int access)
{
	struct ib_umem_dmabuf *dmabuf;
	int err;

	rxe_mr_init(access, mr);
	mr->ibmr.type = IB_MR_TYPE_USER;
	dmabuf = ib_umem_dmabuf_get_pinned_with_dma_device(&rxe->ib_dev, &rxe_dma->dev, offset,
							   length, fd, access);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);

	mr->umem = &dmabuf->umem;
	mr->umem->iova = iova; /* pages are counted from here */
	mr->ibmr.iova = iova;
	mr->ibmr.length = length;
	err = fill_pages(mr);
	if (!err)
		mr->state = RXE_MR_STATE_VALID;
	return err;
}

struct ib_mr *rxe_reg_user_mr_dmabuf(struct ib_pd *ibpd, u64 offset, u64 length, u64 iova, int fd,
				     int access, struct ib_dmah *dmah,
				     struct uverbs_attr_bundle *attrs)
{
	struct rxe_dev *rxe = to_rdev(ibpd->device);
	struct rxe_mr *mr;
	int err;

	if (dmah || access & ~RXE_ACCESS_SUPPORTED_MR || !addresses_are_physical(&rxe_dma->dev))
		return ERR_PTR(-EOPNOTSUPP);
	mr = kzalloc(sizeof(*mr), GFP_KERNEL);
	if (!mr)
		return ERR_PTR(-ENOMEM);
	err = rxe_add_to_pool(&rxe->mr_pool, mr);
	if (err)
		goto err_free;

	rxe_get(to_rpd(ibpd));
	mr->ibmr.pd = ibpd;
	mr->ibmr.device = ibpd->device;
	err = init_mr(rxe, mr, offset, length, iova, fd, access);
	if (err)
		goto err_cleanup;
	rxe_finalize(mr);
	return &mr->ibmr;

err_cleanup:
	rxe_cleanup(mr);
err_free:
	kfree(mr);
	return ERR_PTR(err);
}
